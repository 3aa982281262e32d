"""The engine's events of one preview, as it writes them to its event log: steps, policies, problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from report.values import LATER, text_change, value_at

Op = Literal["create", "update", "replace", "delete"]
OPS: tuple[Op, ...] = ("create", "update", "replace", "delete")
REGION_COMPONENTS = ("tailspan:components:CloudRegion", "tailspan:components:GpuProviderRegion")
# What the engine says about every stand-in plugin: the launcher put them there on purpose.
EXPECTED_NOISE = (
    "from $PATH at",
    "is expected to have version",
    "failed to run remediation: context canceled",
)
# The engine reports what stopped the program twice.
REPEATS = ("an unhandled error occurred:", "Exception calling application:")
# What it says after every other error.
ECHOES = ("update failed", "preview failed", "destroy failed", "refresh failed")
# Said of every object in a cluster whose kubeconfig is not known before the update.
PROVIDER_UNKNOWN = "The provider for this resource has inputs that are not known during preview"
# How a rule says that it could not judge: our pack's words (policy/rules/inputs.py), and the policy SDK's for a rule
# that touched an unknown value, which it reports as advisory (pulumi_policy/policy.py, Analyze).
UNJUDGED = ("could not be judged", "can't run policy")


@dataclass(frozen=True)
class Change:
    """One property: its path, both values as text, and whether it forces a replacement."""

    path: str
    before: str
    after: str
    replaces: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one resource. `region` is empty for what belongs to the whole stack."""

    op: Op
    token: str
    name: str
    region: str
    changes: tuple[Change, ...]
    # An update of which this preview knows only that it depends on a value which the update will make.
    unclear: bool = False

    @property
    def kind(self) -> str:
        """`kubernetes:apps/v1:DaemonSet` is a `kubernetes:DaemonSet` to its reader."""
        parts = self.token.split(":")
        return f"{parts[0]}:{parts[-1]}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One policy's objection to one resource; `level` is mandatory or advisory."""

    rule: str
    level: str
    severity: str
    resource: str
    message: str
    unjudged: bool

    @property
    def fails(self) -> bool:
        return self.unjudged or self.level == "mandatory"


@dataclass
class Outcome:
    """One preview."""

    steps: list[Step] = field(default_factory=list)
    unchanged: int = 0
    rules: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    # What the engine warned of, and about which resources.
    warnings: dict[str, list[str]] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    finished: bool = False

    def diagnose(self, event: Mapping[str, Any]) -> None:
        message = str(event.get("message") or "").strip()
        if not message or message in ECHOES or any(noise in message for noise in EXPECTED_NOISE):
            return
        # The program's own words need no name; a resource's do.
        about_program = not event.get("urn") or "pulumi:pulumi:Stack" in event["urn"]
        text = message if about_program else f"{short_name(event['urn'])}: {message}"
        if event["severity"] == "error" and not message.startswith(REPEATS) and text not in self.errors:
            self.errors.append(text)
        elif event["severity"] == "warning":
            if PROVIDER_UNKNOWN in message:
                self.unclear.add(str(event.get("urn")))
                return
            about = self.warnings.setdefault(message, [])
            if not about_program:
                about.append(short_name(event["urn"]))

    def object(self, event: Mapping[str, Any]) -> None:
        message = str(event.get("message") or "").strip()
        finding = Finding(
            rule=event["policyName"],
            level=str(event.get("enforcementLevel", "")).lower(),
            severity=event.get("severity") or "",
            resource=short_name(event["resourceUrn"]) if event.get("resourceUrn") else "the stack",
            message=message,
            unjudged=any(words in message for words in UNJUDGED),
        )
        if finding not in self.findings:
            self.findings.append(finding)

    def judged(self, event: Mapping[str, Any]) -> None:
        self.rules.update(event.get("passed") or (), event.get("failed") or ())

    def end(self, event: Mapping[str, Any]) -> None:
        self.finished = event.get("result", "succeeded") == "succeeded"


def read_events(events: Iterable[Mapping[str, Any]]) -> Outcome:
    """Everything a report says of a run. Components and providers are the engine's bookkeeping and left out."""
    outcome, planned = Outcome(), []
    readers = {
        "resourcePreEvent": lambda event: planned.append(event["metadata"]),
        "diagnosticEvent": outcome.diagnose,
        "policyEvent": outcome.object,
        "policyAnalyzeSummaryEvent": outcome.judged,
        "policyAnalyzeStackSummaryEvent": outcome.judged,
        "summaryEvent": outcome.end,
    }
    for event in events:
        for kind in readers.keys() & event.keys():
            readers[kind](event[kind])
    parents = {step["urn"]: _state(step).get("parent", "") for step in planned}
    for metadata in planned:
        if not _state(metadata).get("custom") or metadata["type"].startswith("pulumi:"):
            continue
        if metadata["op"] == "same":
            outcome.unchanged += 1
        elif metadata["op"] in OPS:
            outcome.steps.append(_step(metadata, parents, outcome.unclear))
    outcome.steps.sort(key=lambda step: (step.region, OPS.index(step.op), step.token, step.name))
    return outcome


def _state(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return metadata.get("new") or metadata.get("old") or {}


def _step(metadata: Mapping[str, Any], parents: Mapping[str, str], unclear: set[str]) -> Step:
    changes = tuple(_changes(metadata)) if metadata["op"] in ("update", "replace") else ()
    later = bool(changes) and all(change.after == LATER for change in changes)
    return Step(
        op=cast(Op, metadata["op"]),
        token=metadata["type"],
        name=metadata["urn"].split("::")[-1],
        region=_region(metadata["urn"], parents),
        changes=changes,
        unclear=metadata["op"] == "update" and (later or metadata["urn"] in unclear),
    )


def _changes(metadata: Mapping[str, Any]) -> Iterable[Change]:
    old = (metadata.get("old") or {}).get("inputs") or {}
    new = (metadata.get("new") or {}).get("inputs") or {}
    for path, diff in sorted((metadata.get("detailedDiff") or {}).items()):
        before, after = text_change(value_at(old, path), value_at(new, path))
        yield Change(path, before, after, str(diff.get("diffKind", "")).endswith("replace"))


def _region(urn: str, parents: Mapping[str, str]) -> str:
    """The name of the region component above a resource."""
    while urn:
        if urn.split("::")[2].rsplit("$", 1)[-1] in REGION_COMPONENTS:
            return urn.split("::")[-1]
        urn = parents.get(urn, "")
    return ""


def short_name(urn: str) -> str:
    """`urn:pulumi:dev::tailspan::a:b:C$lab:index:Machine::gpu-a` is `lab:Machine gpu-a` to its reader."""
    parts = urn.split("::")
    if len(parts) < 4:
        return urn
    module = parts[2].rsplit("$", 1)[-1].split(":")
    kind = f"{module[0]}:{module[-1]}" if module[0] != "pulumi" else f"{':'.join(module[1:])}"
    return f"{kind} {parts[-1]}"
