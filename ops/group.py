"""A node group as one: its machines join, and leave, side by side.

A machine that fails does not hold up the others: everything that can be done is done first, then one error names
each machine that failed and its step. Doing it again does what is left.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock

from ops import wait
from ops.admission import bootstrap_token
from ops.drain import leave
from ops.errors import OpsError
from ops.http import Json
from ops.join import join
from ops.kube import Credentials, Kube
from ops.node import JOINED_WITH, NODES, NodeSpec, annotation, is_as_declared, is_ready
from ops.ssh import Login, run_script
from ops.wait import Deadline, until_answered

# A kubelet can neither set nor remove labels under this prefix (Kubernetes: NodeRestriction), so no machine can
# leave its group, or enter another one, by itself.
GROUP = "node-restriction.kubernetes.io/tailspan-group"
REGION = "node-restriction.kubernetes.io/tailspan-region"
# What a machine was last given, as a digest: one that has it already is left alone.
GIVEN = "tailspan.dev/script"
# A machine that was just made boots; one that has joined before does not, most likely.
PATIENCE_NEW, PATIENCE_KNOWN = 90.0, 20.0
MOST_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Group:
    """Which nodes of the cluster belong together, and how many are worked on side by side."""

    region: str
    name: str
    parallel: int

    def __str__(self) -> str:
        return f"node group {self.region}-{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        return {REGION: self.region, GROUP: self.name}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One machine of a group. `values` stand in front of the script, a line each; they hold its token."""

    node: NodeSpec
    token: str
    values: dict[str, str]
    login: Login | None
    # Why there is no machine to log in to.
    trouble: str = ""


def given(member: Member, script: str) -> str:
    """Another host key is another machine, also if it is given the same."""
    key = member.login.host_key if member.login else ""
    text = json.dumps([script, member.values, key], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def join_all(
    access: Credentials, group: Group, members: Sequence[Member], script: str, command: str, timeout: float
) -> None:
    """Every machine gets its script and becomes a Ready node, unless it is one that has all of it already."""
    present = nodes_of(access, group, timeout)
    work = {
        member.node.name: partial(
            _join, access, member, script, command, present.get(member.node.name), timeout
        )
        for member in members
        if not _is_done(member, script, present.get(member.node.name))
    }
    if done := len(members) - len(work):
        _say(f"{group}: {done} of {len(members)} nodes are as they should be")
    together(group, work, "did not join")


def _is_done(member: Member, script: str, node: Json | None) -> bool:
    return node is not None and _runs(member, script, node) and is_as_declared(node, member.node)


def _runs(member: Member, script: str, node: Json) -> bool:
    """The machine behind the Node is alive and was given all this before."""
    joined = annotation(node, JOINED_WITH) == member.token.partition(".")[0]
    return joined and is_ready(node) and annotation(node, GIVEN) == given(member, script)


def _join(
    access: Credentials, member: Member, script: str, command: str, node: Json | None, timeout: float
) -> None:
    name = member.node.name
    if member.login is None:
        raise OpsError(f"machine {name}: step 'create': {member.trouble or 'its provider has not made it'}")
    if node is None or not _runs(member, script, node):
        values = "".join(f"{key}={_quoted(value)}\n" for key, value in member.values.items())
        known = node is not None and annotation(node, JOINED_WITH) is not None
        patience = PATIENCE_KNOWN if known else PATIENCE_NEW
        run_script(member.login, command, values + script, machine=name, patience=patience)
    kube = Kube(access)
    join(kube, member.node, bootstrap_token(name, member.token), timeout)
    mark = {"metadata": {"annotations": {GIVEN: given(member, script)}}}
    step = f"node {name}: step 'record its script'"
    until_answered(lambda: kube.patch(member.node.path, mark), Deadline(timeout), step)
    _say(f"node {name}: Ready")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def retire(
    access: Credentials, group: Group, wanted: Sequence[str], *, api_timeout: float, drain_timeout: float
) -> None:
    """Drains and deletes the group's nodes that are not wanted any more; their machines may then go."""
    surplus = sorted(nodes_of(access, group, api_timeout).keys() - set(wanted))
    work = {name: partial(_leave, access, name, api_timeout, drain_timeout) for name in surplus}
    together(group, work, "did not leave")


def _leave(access: Credentials, name: str, api_timeout: float, drain_timeout: float) -> None:
    leave(Kube(access), name, api_timeout=api_timeout, drain_timeout=drain_timeout)
    _say(f"node {name}: drained and deleted")


def forget(access: Credentials, group: Group, *, api_timeout: float) -> None:
    """Deletes the Nodes of machines that are gone; there is nobody left to drain."""
    kube = Kube(access)
    for name in sorted(nodes_of(access, group, api_timeout)):
        step = f"node {name}: step 'delete the Node'"
        until_answered(partial(kube.delete, f"{NODES}/{name}"), Deadline(api_timeout), step)


def nodes_of(access: Credentials, group: Group, timeout: float) -> dict[str, Json]:
    """The group's Node objects by name."""
    kube = Kube(access)
    selector = ",".join(f"{key}={value}" for key, value in group.labels.items())
    step = f"{group}: step 'reach the API server {kube.server}'"
    found = until_answered(
        lambda: kube.list(NODES, labelSelector=selector), Deadline(timeout), step, forbidden_for=30
    )
    return {node["metadata"]["name"]: node for node in found}


def together(group: Group, work: Mapping[str, Callable[[], None]], what: str) -> None:
    """Does all of it, so many at a time; then raises one error for what failed."""
    with ThreadPoolExecutor(group.parallel) as workers:
        running = {name: workers.submit(job) for name, job in work.items()}
        try:
            failed = {name: error for name, future in running.items() if (error := _failure(future))}
        except BaseException:
            # Cancelled: threads cannot be, so whatever they wait for is over now.
            workers.shutdown(wait=False, cancel_futures=True)
            wait.STOPPED.set()
            raise
    if failed:
        lines = [error for _, error in sorted(failed.items())]
        more = [f"and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
        raise OpsError(
            "\n".join([f"{group}: {len(lines)} of {len(work)} {what}:", *lines[:MOST_NAMED], *more])
        )


def _failure(future: Future[None]) -> str:
    error = future.exception()
    if error is None or isinstance(error, OpsError):
        return str(error or "")
    raise error


_printing = Lock()


def _say(line: str) -> None:
    with _printing:
        print(line, file=sys.stderr, flush=True)
