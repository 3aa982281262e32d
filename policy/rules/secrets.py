"""Risk: a key that somebody else finds: on a rented machine, in the state, in a process list, in a Pod's manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pulumi_policy import Policy, ResourceValidationArgs, Severity, StackValidationArgs
from pulumi_policy.proxy import UnknownValueError

from .gateways import stack_of
from .inputs import is_secret
from .manifests import LOCAL_COMMAND, Object, at, declared, known, parts
from .rule import Report, resource_rule, stack_rule, what
from .texts import WORKLOADS, readable_layers

REMOTE_TYPES = ("command:remote:Command", "command:remote:CopyFile", "command:remote:CopyToRemote")
COMMANDS = ("command:remote:Command", LOCAL_COMMAND)

OAUTH, API, AUTH, TOKEN, PRIVATE = (
    "an OAuth client's secret",
    "an API key",
    "a tailnet key",
    "a bootstrap token",
    "a private key",
)
# By kind: words that stand in every one, which cost nothing to look for, and its shape. Tailscale's prefixes:
# tailscale.com/kb/1277; headscale's since 0.28: hskey-api-, hskey-auth-.
_SHAPES = {
    OAUTH: (("tskey-client-",), re.compile(r"\btskey-client-[A-Za-z0-9]")),
    API: (
        ("key-api-", "key-scim-", "key-webhook-"),
        re.compile(r"\b[th]skey-(?:api|scim|webhook)-[A-Za-z0-9]"),
    ),
    AUTH: (("key-auth-",), re.compile(r"\b[th]skey-auth-[A-Za-z0-9]")),
    TOKEN: (("token",), re.compile(r"token[\"']?[ \t]*[ :=][ \t]*[\"']?[a-z0-9]{6}\.[a-z0-9]{16}\b")),
    PRIVATE: (("PRIVATE KEY",), re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
}
# Who may hold what mints keys: the program's own providers, and what the operator's machine runs.
_OPERATORS_SIDE = ("pulumi:providers:", "tailscale:", LOCAL_COMMAND)
_SSH = "https://www.pulumi.com/registry/packages/command/api-docs/remote/command/#connection"


@lru_cache(maxsize=64)
def secrets_in(text: str) -> frozenset[str]:
    """The kinds of secrets that a text holds, also in its base64 parts."""
    return frozenset(
        kind
        for layer in readable_layers(text)
        for kind, (words, shape) in _SHAPES.items()
        if any(word in layer for word in words) and shape.search(layer)
    )


def _texts(props: Any) -> Iterator[tuple[str, str]]:
    """Every text of a resource with the input that it stands in."""
    return ((".".join(path), value) for path, value in parts(props) if isinstance(value, str))


def nothing_that_mints_keys_on_machines(args: ResourceValidationArgs, report: Report) -> None:
    """Secret or not: whoever is root on the machine reads it, and it makes keys for every tag that it owns."""
    if args.resource_type.startswith(_OPERATORS_SIDE) or _is_of_operator(args):
        return
    for path, text in _texts(args.props):
        for kind in sorted(secrets_in(text) & {OAUTH, API}):
            report(
                f"{what(args)}: input {path} holds {kind}, which makes new keys for whoever reads it there. Write a "
                "TailnetKey for the machine instead: reusable: false, preauthorized: true, with tags and expiry.",
                args.urn,
            )


def _is_of_operator(args: ResourceValidationArgs) -> bool:
    """Tailscale's Kubernetes operator makes devices, that is what it is for (tailscale.com/kb/1236)."""
    chart = str(known(args.props, "chart") or "").rpartition("/")[2]
    return chart == "tailscale-operator" or known(args.props, "metadata", "name") == "operator-oauth"


def secrets_are_marked(args: ResourceValidationArgs, report: Report) -> None:
    """A plain input is plain in the state, in previews and in logs."""
    for path, text in _texts(args.props):
        for kind in () if is_secret(text) else sorted(secrets_in(text)):
            report(
                f"{what(args)}: input {path} holds {kind} in plain text. Write it as a secret (pulumi config set "
                "--secret and Config.require_secret, or Output.secret), and revoke this one.",
                args.urn,
            )


def command_lines_hold_no_secrets(args: ResourceValidationArgs, report: Report) -> None:
    """`create`, `update` and `delete` become arguments of a shell, and every process may read those."""
    for key in ("create", "update", "delete"):
        text = known(args.props, key)
        if not isinstance(text, str):
            continue
        kinds = sorted(secrets_in(text)) or (["a secret of the program"] if is_secret(text) else [])
        for kind in kinds:
            report(
                f"{what(args)}: {key} holds {kind}, and every process of the machine can read command lines. Write it "
                "to stdin, and read it from there in the script.",
                args.urn,
            )


def manifests_hold_no_secrets(args: StackValidationArgs, report: Report) -> None:
    """A static pod, too, shows its environment to whoever may read Pods: its mirror is in the API."""
    for item in stack_of(args.resources).objects:
        if item.kind in WORKLOADS or item.kind == "ConfigMap":
            with report.judging(str(item), item.urn):
                _report_inline(item, report)


def _report_inline(item: Object, report: Report) -> None:
    for path, text in _texts(item.body):
        for kind in sorted(secrets_in(text)):
            report(
                f"{item}: {path} holds {kind}, and whoever may read {item.kind}s reads it. Write it to a file that "
                "only root reads, or to a Secret, and refer to that, such as TS_AUTHKEY: file:/path.",
                item.urn,
            )


def host_keys_are_pinned(args: ResourceValidationArgs, report: Report) -> None:
    """Without one the first machine that answers gets the script with all that is in it."""
    for name, connection in _connections(args):
        if not _has(connection, "hostKey"):
            report(
                f"{what(args)}: {name} has no hostKey, so whoever answers at the address is believed. "
                f"Write {name}.hostKey, the machine's public key as in its /etc/ssh/ssh_host_ed25519_key.pub.",
                args.urn,
            )


def logins_use_keys(args: ResourceValidationArgs, report: Report) -> None:
    for name, connection in _connections(args):
        if _has(connection, "password"):
            report(
                f"{what(args)}: {name} logs in with a password, which a false machine learns and any machine accepts. "
                f"Remove {name}.password and use an SSH agent or {name}.privateKey.",
                args.urn,
            )


def _connections(args: ResourceValidationArgs) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The connection and its jump host's. It is unknown as a whole while one part is: the SDK makes it one secret."""
    if declared(args.urn) and known(args.props, "connection") is None:
        return  # our own components give every connection its host key (components/access.py), and no password
    connection = at(args.props, "connection") or {}
    yield "connection", connection
    proxy = at(connection, "proxy")
    if proxy is not None:
        yield "connection.proxy", proxy


def _has(connection: Mapping[str, Any], key: str) -> bool:
    """Whether it is written; one that an update will know is."""
    try:
        return connection.get(key) not in (None, "")
    except UnknownValueError:
        return True


RULES: tuple[Policy, ...] = (
    resource_rule(
        name="no-key-maker-on-machines",
        description="No OAuth client's secret and no API key reaches a machine or a pod.",
        types=None,
        validate=nothing_that_mints_keys_on_machines,
        severity=Severity.CRITICAL,
        remediation="Give each machine a TailnetKey for one use.",
        source="https://tailscale.com/kb/1215/oauth-clients#registering-new-nodes-using-oauth-credentials",
    ),
    resource_rule(
        name="secrets-are-marked-as-secret",
        description="Keys, tokens and private keys are secret inputs.",
        types=None,
        validate=secrets_are_marked,
        severity=Severity.CRITICAL,
        remediation="Write it as a secret of the stack, and revoke the one that was in plain text.",
        source="https://www.pulumi.com/docs/iac/concepts/secrets/",
    ),
    resource_rule(
        name="command-lines-hold-no-secrets",
        description="Commands read secrets from standard input.",
        types=COMMANDS,
        validate=command_lines_hold_no_secrets,
        severity=Severity.HIGH,
        remediation="Write the secret to stdin.",
        source="https://www.pulumi.com/registry/packages/command/api-docs/remote/command/",
    ),
    stack_rule(
        name="manifests-hold-no-secrets",
        description="Manifests refer to keys and do not hold them.",
        validate=manifests_hold_no_secrets,
        severity=Severity.HIGH,
        remediation="Write the key to a root-only file or a Secret, and refer to it.",
        source="https://kubernetes.io/docs/concepts/configuration/secret/",
    ),
    resource_rule(
        name="ssh-host-keys-are-pinned",
        description="SSH connections know the machine's host key beforehand.",
        types=REMOTE_TYPES,
        validate=host_keys_are_pinned,
        severity=Severity.CRITICAL,
        remediation="Write connection.hostKey, and connection.proxy.hostKey where there is a jump host.",
        source=_SSH,
    ),
    resource_rule(
        name="ssh-logs-in-with-keys",
        description="SSH connections use keys, not passwords.",
        types=REMOTE_TYPES,
        validate=logins_use_keys,
        severity=Severity.HIGH,
        remediation="Remove the password and use an SSH agent.",
        source=_SSH,
    ),
)
