"""The report as data: what the Markdown, the terminal and the JSON form all say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from report.events import Finding, Step

Result = Literal["passes", "refused", "violates", "cannot judge", "failed"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`reasons` are whole messages, each with its remedy."""

    result: Result
    headline: str
    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.result == "passes"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One value on both sides, as text; empty where the side has none."""

    what: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the change does to something that runs. `things` share the sentence."""

    kind: Literal["replaces", "drains", "restarts", "may change", "changes"]
    region: str
    things: tuple[str, ...]
    sentence: str

    @property
    def interrupts(self) -> bool:
        return self.kind not in ("changes", "may change")


@dataclass(frozen=True, kw_only=True)
class LinkRow:
    """A pair of regions; a path is empty on a side where one of the two does not exist."""

    one: str
    other: str
    before: str
    after: str
    reason: str
    mtu: int
    mss: int


@dataclass(frozen=True, kw_only=True)
class AddressRow:
    """One region's ranges and what its gateways advertise."""

    region: str
    nodes: Compared
    pods: Compared
    prefixes: Compared
    machines: Compared


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One region's GPUs and what leaves it. Prices are text: an unknown one is the word, never 0."""

    region: str
    seller: str
    gpus: Compared
    usd_per_hour: Compared
    egress_usd_per_gb: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a reviewer is told."""

    stack: str
    compared_with: str
    verdict: Verdict
    summary: tuple[Compared, ...]
    effects: tuple[Effect, ...]
    rules: tuple[str, ...]
    findings: tuple[Finding, ...]
    links: tuple[LinkRow, ...]
    addresses: tuple[AddressRow, ...]
    moved: tuple[Compared, ...]
    costs: tuple[CostRow, ...]
    steps: tuple[Step, ...]
    unchanged: int
    complete: bool
    notes: tuple[str, ...]

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(row.region for row in self.addresses)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.verdict.ok, **asdict(self)}
