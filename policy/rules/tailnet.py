"""Risk: a gateway whose own settings, or a policy file whose options, cut regions off or open them to everybody."""

from __future__ import annotations

from pulumi_policy import Policy, ResourceValidationArgs, Severity, StackValidationArgs

from .gateways import Gateway, stack_of
from .inputs import number
from .judging import StackCheck, each_gateway
from .known import TAILNET_KEY
from .manifests import at, items, known, mappings
from .policy_text import ACL, policy_of
from .rule import Report, Setting, resource_rule, stack_rule, what

# Tailscale's default, 90 days.
_DEFAULT_KEY_SECONDS = 90 * 24 * 3600
_SITE_TO_SITE = "https://tailscale.com/kb/1214/site-to-site#configure-the-subnet-router"


def has_flag(name: str, wanted: str, why: str) -> StackCheck:
    """A rule that every gateway has one argument of `tailscale up`."""
    words = f"--{name}" if wanted == "true" else f"--{name}={wanted}"

    def check(gateway: Gateway, report: Report) -> None:
        if gateway.flags is None:
            report(
                f"{gateway}: could not be judged, TS_EXTRA_ARGS is put together only where it runs. "
                f"Write its arguments plainly, {words} among them.",
                gateway.urn,
            )
            return
        got = gateway.flags.get(name)
        if got != wanted:
            given = f"is {got}" if got is not None else "is not given"
            report(f"{gateway}: --{name} {given}, so {why}. Write {words} in TS_EXTRA_ARGS.", gateway.urn)

    return each_gateway(check)


def _leaves_dns_alone(gateway: Gateway, report: Report) -> None:
    variable = gateway.setting("TS_ACCEPT_DNS")
    flag = (gateway.flags or {}).get("accept-dns")
    # The flag wins over the variable (tailscale/tailscale#16108), and containerboot's default is false.
    default = "false" if "tailscale up" not in gateway.command else "true"
    got = flag or (variable.text if variable else default) or default
    if got != "false":
        report(
            f"{gateway}: accepts the tailnet's DNS (accept-dns is {got}), which rewrites /etc/resolv.conf of the "
            'whole machine. Write TS_ACCEPT_DNS with the value "false", and no --accept-dns in TS_EXTRA_ARGS.',
            gateway.urn,
        )


def gateways_are_tagged(args: StackValidationArgs, report: Report) -> None:
    """By their arguments or by their key; headscale refuses both at once, so its gateways may leave it to the key."""
    keys = [resource.props for resource in args.resources if resource.resource_type == TAILNET_KEY]
    by_key = bool(keys) and all(known(key, "tags") for key in keys)
    for gateway in stack_of(args.resources).gateways:
        with report.judging(str(gateway), gateway.urn):
            if gateway.flags is None or gateway.tags or by_key or "login-server" in gateway.flags:
                continue
            report(
                f"{gateway}: has no tag, so it belongs to a person, its login expires and no autoApprover approves "
                "its routes. Write --advertise-tags=tag:<region> in TS_EXTRA_ARGS, or give it a key with tags.",
                gateway.urn,
            )


def no_random_ports(args: ResourceValidationArgs, report: Report) -> None:
    """The setting wins over PORT, and then no firewall opening fits (Tailscale: nodecap RandomizeClientPort)."""
    policy = policy_of(args)
    if policy.content.get("randomizeClientPort"):
        report(
            f"{policy}: randomizeClientPort is true, so gateways leave UDP 41641, which firewalls open for them, and "
            "links are relayed. Remove randomizeClientPort.",
            args.urn,
        )
    for row in mappings(policy.content.get("nodeAttrs")):
        if "randomize-client-port" in items(row.get("attr")):
            report(
                f"{policy}: nodeAttrs gives randomize-client-port to {', '.join(map(str, items(row.get('target'))))}, "
                "so UDP 41641 is left and links are relayed. Remove it from attr.",
                args.urn,
            )


def policy_survives_destroy(args: ResourceValidationArgs, report: Report) -> None:
    if at(args.props, "resetAclOnDestroy"):
        report(
            f"policy file {what(args)}: resetAclOnDestroy is true, and Tailscale's default file, which comes back "
            "then, lets every device reach every other. Write resetAclOnDestroy: false.",
            args.urn,
        )


def policy_is_guarded(args: ResourceValidationArgs, report: Report) -> None:
    """The resource owns the whole file (pulumi-tailscale#208). A control server of one's own goes with the stack."""
    if at(args.props, "overwriteExistingContent"):
        report(
            f"policy file {what(args)}: overwriteExistingContent is true, so the first update overwrites rules that "
            "nobody has looked at. Remove it and import the file first: pulumi import "
            f"{ACL} {args.name} acl.",
            args.urn,
        )
    self_hosted = args.provider is not None and known(args.provider.props, "baseUrl")
    if not self_hosted and not args.opts.protect:
        report(
            f"policy file {what(args)}: is not protected, so an edit of the program can delete the policy of the whole "
            "tailnet. Add the option protect=True.",
            args.urn,
        )


def keys_are_for_one_use(args: ResourceValidationArgs, report: Report) -> None:
    """A key lies on a rented disk before it is used."""
    key, longest = f"key {what(args)}", report.settings["most_seconds"]
    if at(args.props, "reusable"):
        report(f"{key}: is reusable, so whoever finds it adds devices. Write reusable: false.", args.urn)
    if not at(args.props, "preauthorized"):
        report(
            f"{key}: is not preauthorized, so its device waits for a person where the tailnet approves devices. "
            "Write preauthorized: true.",
            args.urn,
        )
    if not list(items(at(args.props, "tags"))):
        report(
            f"{key}: has no tags, so its device belongs to a person. Write tags: [tag:<region>].", args.urn
        )
    seconds = number(at(args.props, "expiry")) or _DEFAULT_KEY_SECONDS
    if seconds > longest:
        report(
            f"{key}: is good for {seconds} s, and a machine joins within minutes. Write expiry: 3600, "
            f"at most {longest}.",
            args.urn,
        )


RULES: tuple[Policy, ...] = (
    stack_rule(
        name="gateways-keep-source-addresses",
        description="Gateways forward packets with the sender's own address.",
        validate=has_flag(
            "snat-subnet-routes", "false", "other regions see the gateway's address in place of a pod's"
        ),
        severity=Severity.HIGH,
        remediation="Write --snat-subnet-routes=false in TS_EXTRA_ARGS of every gateway.",
        source=_SITE_TO_SITE,
    ),
    stack_rule(
        name="gateways-accept-routes",
        description="Gateways use the routes that gateways of other regions advertise.",
        validate=has_flag("accept-routes", "true", "it has no way to other regions"),
        severity=Severity.HIGH,
        remediation="Write --accept-routes in TS_EXTRA_ARGS of every gateway: Linux accepts none by itself.",
        source=_SITE_TO_SITE,
    ),
    stack_rule(
        name="gateways-keep-no-state",
        description="Gateways forward replies to connections that they have not seen begin.",
        validate=has_flag(
            "stateful-filtering", "false", "a reply that comes back through another gateway may be dropped"
        ),
        severity=Severity.MEDIUM,
        remediation="Write --stateful-filtering=false in TS_EXTRA_ARGS of every gateway.",
        source="https://github.com/tailscale/tailscale/issues/12066",
    ),
    stack_rule(
        name="gateways-leave-dns-alone",
        description="A gateway does not replace the DNS settings of its machine.",
        validate=each_gateway(_leaves_dns_alone),
        severity=Severity.HIGH,
        remediation='Write TS_ACCEPT_DNS with the value "false".',
        source="https://tailscale.com/kb/1282/docker#ts_accept_dns",
    ),
    stack_rule(
        name="gateways-are-tagged",
        description="A gateway is a tagged device, not a person's.",
        validate=gateways_are_tagged,
        severity=Severity.HIGH,
        remediation="Write --advertise-tags=tag:<region> in TS_EXTRA_ARGS, or tags on its TailnetKey.",
        source="https://tailscale.com/kb/1337/policy-syntax#autoapprovers",
    ),
    resource_rule(
        name="tailnet-keeps-its-port",
        description="The tailnet's policy leaves gateways at UDP 41641.",
        types=[ACL],
        validate=no_random_ports,
        severity=Severity.HIGH,
        remediation="Remove randomizeClientPort from the policy file.",
        source="https://tailscale.com/kb/1337/policy-syntax#randomizeclientport",
    ),
    resource_rule(
        name="policy-file-survives-destroy",
        description="Destroying a stack does not open the tailnet to everybody.",
        types=[ACL],
        validate=policy_survives_destroy,
        severity=Severity.CRITICAL,
        remediation="Write resetAclOnDestroy: false.",
        source="https://www.pulumi.com/registry/packages/tailscale/api-docs/acl/",
    ),
    resource_rule(
        name="policy-file-is-guarded",
        description="The tailnet's whole policy file is neither overwritten unread nor deleted by an edit.",
        types=[ACL],
        validate=policy_is_guarded,
        severity=Severity.HIGH,
        remediation="Import the file, leave overwriteExistingContent out and write the option protect=True.",
        source="https://github.com/pulumi/pulumi-tailscale/issues/208",
    ),
    resource_rule(
        name="tailnet-keys-are-for-one-use",
        description="Keys of the tailnet are for one device, tagged and short-lived.",
        types=[TAILNET_KEY],
        validate=keys_are_for_one_use,
        settings=[
            Setting(
                name="most_seconds",
                kind="integer",
                meaning="The longest time that a key may be good for, seconds.",
                default=86400,
                minimum=1,
            )
        ],
        severity=Severity.HIGH,
        remediation="Write reusable: false, preauthorized: true, tags and expiry: 3600.",
        source="https://tailscale.com/kb/1085/auth-keys",
    ),
)
