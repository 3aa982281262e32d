"""Is a partner fit to carry traffic, and am I? Judged by what comes back, never by one silence alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.config import Timing
from agent.core.node import Heard
from agent.wire import Beat


class Verdict(StrEnum):
    """What is seen now. `KEEP`: this cannot be told from here, so the last verdict stays."""

    FIT = "fit"
    UNFIT = "unfit"
    KEEP = "keep"


@dataclass(frozen=True)
class Judged:
    """A verdict and its reason in a few words, for the log and the metrics."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Partner:
    """
    What is known of a partner. `via`: by target, when something last came back that left and returned through it.
    `witness`: the latest time at which another machine of the region is known to have heard it.
    """

    lan: Heard = field(default_factory=Heard)
    tail: Heard = field(default_factory=Heard)
    via: Mapping[str, float] = field(default_factory=dict)
    # The same for every target, not only for those that are probed with every beat.
    reached: Mapping[str, float] = field(default_factory=dict)
    witness: float | None = None


@dataclass(frozen=True)
class Own:
    """
    What is known of this gateway. `direct`: by target, when it last answered what was sent through the own tunnel.
    `members`: by address, when other machines of the LAN were last heard, partners among them. `loose`: the kernel
    takes packets whichever way they come.
    """

    up: bool = True
    loose: bool = True
    carrier: bool = True
    drain: bool = False
    direct: Mapping[str, float] = field(default_factory=dict)
    members: Mapping[str, float] = field(default_factory=dict)


# For how long a target counts as one that answers; most are asked every two seconds only.
ANSWERING_SECONDS = 5.0
NOT_FORWARDING = "does not forward"
# For how long a machine that was heard counts as one that should be heard, seconds.
MEMBER_SECONDS = 60.0


@dataclass(frozen=True)
class Judge:
    """The rules, for one moment."""

    timing: Timing
    now: float

    def recent(self, at: float | None) -> bool:
        return at is not None and self.now - at <= self.timing.silence

    def said(self, partner: Partner) -> Beat | None:
        """A partner's newest beat over either path, if it is recent."""
        heard = [one for one in (partner.lan, partner.tail) if self.recent(one.at)]
        return max(heard, key=lambda one: one.at or 0.0).beat if heard else None

    def acts(self, partner: Partner) -> bool:
        """Does its agent live? Heard by me, or by somebody else."""
        return self.said(partner) is not None or self.recent(partner.witness)

    def reaches_all(self, partner: Partner, own: Own, since: float) -> bool:
        """Has every target that answers me answered through the partner, too, after that moment?"""
        return all(
            partner.reached.get(target, float("-inf")) > since
            for target, at in own.direct.items()
            if self.now - at <= ANSWERING_SECONDS
        )

    def lan_alive(self, own: Own, besides: str | None = None) -> bool | None:
        """Does anybody on the LAN hear and answer? None: there is nobody else who could."""
        if not own.carrier:
            return False
        last = max((at for member, at in own.members.items() if member != besides), default=None)
        if self.recent(last):
            return True
        return None if last is None or self.now - last > MEMBER_SECONDS else False

    def partner(self, partner: Partner, own: Own, address: str, *, back: bool = False) -> Judged:
        """
        Does this partner carry traffic? Whether it drains is another question. `back`: it, or the own LAN side, was
        silent on the LAN until a moment ago, so that its probes may not have had the time to pass again.
        """
        said = self.said(partner)
        if said is not None and not said.up:
            return Judged(Verdict.UNFIT, "tailscaled is down")
        if any(self.recent(at) for at in partner.via.values()):
            return Judged(Verdict.FIT, "forwards")
        if back:
            return Judged(Verdict.KEEP, "heard again a moment ago")
        lan = self.lan_alive(own, besides=address)
        if self.recent(partner.lan.at):
            return self._not_forwarding(partner, own)
        if said is not None and not said.lan and lan:
            return Judged(Verdict.UNFIT, "its LAN side is dead")
        return self._silent(partner, said, lan)

    def _not_forwarding(self, partner: Partner, own: Own) -> Judged:
        """
        Only if the same target went on answering directly, otherwise the far region is what fell silent; and if beats
        went on arriving, too: where the LAN died, probes and beats end together, whichever was seen last.
        """
        margin = self.timing.silence * 0.6
        for target, last in partner.via.items():
            direct, beaten = own.direct.get(target), partner.lan.at
            if direct is None or beaten is None or not self.recent(direct):
                continue
            if min(direct, beaten) - last >= margin:
                return Judged(Verdict.UNFIT, NOT_FORWARDING)
        return Judged(Verdict.KEEP, "no target answers")

    def _silent(self, partner: Partner, said: Beat | None, lan: bool | None) -> Judged:
        heard = partner.lan.at
        if (
            self.recent(partner.witness)
            and partner.witness is not None
            and (heard is None or partner.witness - heard >= self.timing.beat * 2.5)
        ):
            return Judged(Verdict.KEEP, "others hear it: cut off from me only")
        if lan:
            return Judged(Verdict.UNFIT, "silent, and nobody hears it")
        if lan is False:
            return Judged(Verdict.KEEP, "my own LAN side is silent")
        if said is not None:
            return Judged(Verdict.KEEP, "silent on the LAN, and nobody there to ask")
        return Judged(Verdict.UNFIT, "silent on every path")

    def accused(self, name: str, partners: Mapping[str, Partner], unfit: frozenset[str]) -> bool:
        """Does a partner that is well find me unfit, which I do not find it?"""
        for other, partner in partners.items():
            said = self.said(partner)
            if said is not None and said.well and name in said.unfit and other not in unfit:
                return True
        return False
