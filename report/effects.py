"""What a planned step does to something that runs: who is drained, replaced or restarted, and what just changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from network.plan import NodePlan
from report.events import Step
from report.model import Effect
from report.sides import Side

KINDS = ("replaces", "drains", "restarts", "may change", "changes")
INSTANCES = ("gcp:compute/instance:Instance", "aws:ec2/instance:Instance")
MACHINES = (":Machine", ":MachineGroup", *INSTANCES)
# Inputs that name a machine's size.
TYPES = ("machineType", "instanceType")
COMMANDS = ("command:local:Command", "command:remote:Command")

SCRIPT = "its script runs again and restarts what changed of packet filter, containerd and kubelet; pods keep running"
UNCLEAR = "depends on a value that only the update will know; if it comes out the same, nothing happens"
TUNNEL = "; also Tailscale, if its settings changed: what crosses regions through it then pauses"


@dataclass(frozen=True)
class Sides:
    """Both sides, for the question what a machine is or was."""

    before: Side
    after: Side
    removed: frozenset[str]  # machines that go with all that is on them

    def gateway(self, machine: str) -> bool:
        return any(node.role == "gateway" for node in self._of(machine))

    def device(self, machine: str) -> bool:
        return any(node.device for node in self._of(machine))

    def plain(self, machine: str) -> bool:
        return all(node.role == "worker" for node in self._of(machine))

    def _of(self, machine: str) -> list[NodePlan]:
        return [side.nodes[machine] for side in (self.before, self.after) if machine in side.nodes]


Rule = Callable[[Step, Sides], Effect | None]


def effects(steps: Sequence[Step], before: Side, after: Side) -> tuple[Effect, ...]:
    """Effects with the same sentence in the same region are one, the gravest first."""
    removed = {step.name for step in steps if step.op == "delete" and step.token.endswith(MACHINES)}
    sides = Sides(before, after, frozenset(removed))
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for effect in _each(steps, sides):
        grouped.setdefault((effect.kind, effect.region, effect.sentence), []).extend(effect.things)
    found = [
        Effect(kind=kind, region=region, things=tuple(sorted(things)), sentence=sentence)  # type: ignore[arg-type]
        for (kind, region, sentence), things in grouped.items()
    ]
    return tuple(sorted(found, key=lambda one: (KINDS.index(one.kind), one.region, one.things)))


def _each(steps: Sequence[Step], sides: Sides) -> Iterator[Effect]:
    for step in steps:
        for rule in (_unclear,) if step.unclear else RULES:
            if (effect := rule(step, sides)) is not None:
                yield effect
                break


def _unclear(step: Step, sides: Sides) -> Effect:
    return Effect(kind="may change", region="", things=(step.name,), sentence=UNCLEAR)


def _machine(step: Step, sides: Sides) -> Effect | None:
    if not step.token.endswith(MACHINES) or step.op != "replace":
        return None
    return _effect("replaces", step, "is made anew and joins again; what was on its disk is lost")


def _resized(step: Step, sides: Sides) -> Effect | None:
    sized = any(change.path in TYPES for change in step.changes)
    if step.token not in INSTANCES or step.op != "update" or not sized:
        return None
    if step.token == INSTANCES[0] and not sides.plain(step.name):
        # `allowStoppingForUpdate` is not set for them (docs/clouds/gcp.md).
        return _effect(
            "restarts", step, "only a stopped machine can change its type: the update will be refused"
        )
    return _effect("restarts", step, "the machine stops and starts as another type, with all that runs on it")


def _join(step: Step, sides: Sides) -> Effect | None:
    """The node in the cluster: `<machine>-join` declares it, and drains it when it goes (components/nodes.py)."""
    machine = step.name.removesuffix("-join")
    if step.token != COMMANDS[0] or machine == step.name or step.op not in ("replace", "delete"):
        return None
    sentence = "its pods are drained and its node is deleted from the cluster"
    if machine in sides.removed:
        sentence += ", the machine is removed with what is on its disk"
    if sides.device(machine):
        sentence += "; its tailnet device goes"
    if sides.gateway(machine):
        sentence += ", and its region's other gateways carry on"
    return _effect("drains", step, sentence, machine)


def _script(step: Step, sides: Sides) -> Effect | None:
    """The machine's script: `<machine>-bootstrap` restarts only what changed (bootstrap/files/node.sh)."""
    machine = step.name.removesuffix("-bootstrap")
    if step.token != COMMANDS[1] or machine == step.name or step.op == "create":
        return None
    if step.op == "delete":
        # A machine that is removed needs no farewell (components/nodes.py: deleted_with).
        gone = machine in sides.removed
        return None if gone else _effect("drains", step, "what tailspan wrote on it is wiped", machine)
    return _effect("restarts", step, SCRIPT + (TUNNEL if sides.device(machine) else ""), machine)


def _rollout(step: Step, sides: Sides) -> Effect | None:
    kind = step.token.rsplit(":", 1)[-1]
    if step.op != "update" or kind not in ("DaemonSet", "Deployment", "StatefulSet"):
        return None
    if not any(change.path.startswith("spec.template") for change in step.changes):
        return _effect("changes", step, "is changed without a restart of its pods")
    if kind == "DaemonSet" and "subnet-router" in step.name:
        return _effect("restarts", step, "Tailscale restarts on the region's gateways, one at a time")
    return _effect("restarts", step, "its pods are replaced one after another")


def _tailnet_policy(step: Step, sides: Sides) -> Effect | None:
    if step.token != "tailscale:index/acl:Acl" or step.op == "create":
        return None
    if step.op == "delete":
        return _effect("changes", step, "tailspan no longer manages the tailnet's policy; it stays as it is")
    return _effect(
        "changes", step, "the tailnet's policy changes at once: connections that it no longer allows end"
    )


def _firewall(step: Step, sides: Sides) -> Effect | None:
    if not step.token.endswith((":Firewall", ":SecurityGroup")) or step.op != "update":
        return None
    return _effect("changes", step, "its openings change at once")


def _anything(step: Step, sides: Sides) -> Effect | None:
    if step.op != "replace":
        return None
    why = ", ".join(change.path for change in step.changes if change.replaces) or "what it depends on changed"
    return _effect("replaces", step, f"a new {step.kind} takes its place, because of {why}")


def _effect(kind: str, step: Step, sentence: str, thing: str = "") -> Effect:
    return Effect(kind=kind, region=step.region, things=(thing or step.name,), sentence=sentence)  # type: ignore[arg-type]


RULES: tuple[Rule, ...] = (
    _machine,
    _resized,
    _join,
    _script,
    _rollout,
    _tailnet_policy,
    _firewall,
    _anything,
)
