"""A gateway's decisions: who of the region's gateways is fit, what this one says of itself, what it advertises."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from agent.config import Timing
from agent.core.claims import Claims, Order, Rungs
from agent.core.fitness import NOT_FORWARDING, Judge, Judged, Own, Partner, Verdict
from agent.core.holds import Hold
from agent.wire import Beat

# For so many beats a difference between a partner and me must last: both see the same event some beats apart.
LASTING_BEATS = 4
# A partner that has never been seen to forward gets this long before that counts, seconds: its prefixes must reach
# the tailnet first, and the other regions' gateways must start.
FIRST_SECONDS = 10.0
# How long a partner that forwards again waits for the last of the gateways elsewhere, seconds.
RETURN_SECONDS = 15.0
# For so long after a silence on the LAN nothing follows from what does not arrive, seconds: as long as a neighbour does
# not answer, Linux asks for its address once a second only (net.ipv4.neigh.*.retrans_time_ms).
BACK_SECONDS = 1.5
# From this share of the silence on, the others are asked whether they hear a partner.
ASK_AFTER = 0.4


@dataclass(frozen=True)
class Decision:
    """
    What follows from one moment: words for the beats, partners to ask about, claims to advertise. `returning`: partners
    that live and are not fit yet. `doubted`: partners that live and do not trust this gateway with traffic.
    """

    lan: bool
    far: bool
    well: bool
    unfit: tuple[str, ...]
    fit: tuple[int, ...]
    ask: tuple[str, ...]
    claims: Mapping[Order, int]
    relieved: bool
    returning: tuple[str, ...]
    doubted: tuple[str, ...]
    reasons: Mapping[str, str]


@dataclass
class GatewayCore:
    """One gateway. `claims.mine` starts with what its tailscaled advertises already."""

    names: Sequence[str]
    addresses: Mapping[str, str]
    me: int
    timing: Timing
    started: float
    claims: Claims
    _judged: dict[str, Judged] = field(default_factory=dict)
    _fit: dict[str, bool] = field(default_factory=dict)
    _holds: dict[str, Hold] = field(default_factory=dict)
    _failed: dict[str, float] = field(default_factory=dict)
    _drained: dict[str, float] = field(default_factory=dict)
    _proven: set[str] = field(default_factory=set)
    # By name of a partner, or "" for anybody on the LAN: the last moment of silence there after having been heard.
    _silent: dict[str, float] = field(default_factory=dict)
    _behind: float | None = None

    @property
    def name(self) -> str:
        return self.names[self.me]

    def decide(
        self, partners: Mapping[str, Partner], own: Own, tailnet: Sequence[Rungs] | None, now: float
    ) -> Decision:
        """The decision of this moment. `tailnet` is None while tailscaled does not say what is in it."""
        judge = Judge(self.timing, now)
        lan, far = judge.lan_alive(own), any(judge.recent(at) for at in own.direct.values())
        anybody = self._is_back("", bool(own.members), lan is True, now)
        judged = {
            name: judge.partner(
                one,
                own,
                self.addresses[name],
                back=self._is_back(name, one.lan.at is not None, judge.recent(one.lan.at), now) or anybody,
            )
            for name, one in partners.items()
        }
        for name, one in judged.items():
            if one.verdict is Verdict.FIT:
                self._proven.add(name)
            if (
                one.reason == NOT_FORWARDING
                and name not in self._proven
                and now - self.started < FIRST_SECONDS
            ):
                continue
            if one.verdict is Verdict.UNFIT:
                self._fit[name], self._failed[name] = False, now
            elif one.verdict is Verdict.FIT and self._returned(judge, name, partners[name], own):
                self._fit[name] = True
        unfit = frozenset(name for name in partners if not self._fit.get(name, True))
        if now - self.started < self.timing.silence * 1.5:
            # Partners have not had the time to be heard: nothing is told of them, nothing changes.
            unfit = frozenset()
        doubted = self._doubted(judge, partners, unfit)
        well = self._well(judge, partners, own, lan, far, unfit) and (own.drain or not doubted)
        draining = self._draining(judge, partners, own)
        # Of a partner that I cannot judge, another one's own evidence counts; it is not passed on as mine.
        hearsay = {
            name
            for name, one in judged.items()
            if one.verdict is Verdict.KEEP and judge.accused(name, partners, unfit | {name})
        }
        fit = self._settled(unfit | hearsay, well, draining | ({self.name} if own.drain else set()), now)
        if tailnet is not None and now - self.started >= self.timing.silence * 1.5:
            acting = [
                number
                for number, name in enumerate(self.names)
                if number == self.me or judge.acts(partners[name])
            ]
            self.claims.settle(fit, acting, tailnet, now)
        return Decision(
            lan=lan is not False,
            far=far,
            well=well,
            unfit=tuple(sorted(unfit)),
            fit=tuple(fit),
            ask=tuple(name for name, one in partners.items() if self._to_ask(one, now)),
            claims=dict(self.claims.mine),
            relieved=tailnet is not None and self.claims.relieved(tailnet),
            returning=tuple(
                name
                for name, said in self._live(judge, partners)
                if said.up and not said.drain and self.names.index(name) not in fit
            ),
            doubted=doubted,
            reasons={name: one.reason for name, one in judged.items()},
        )

    def _is_back(self, who: str, known: bool, heard: bool, now: float) -> bool:
        """Is it heard, and was silent until a moment ago? Whoever has never been heard has not fallen silent."""
        if known and not heard:
            self._silent[who] = now
        return heard and now - self._silent.get(who, float("-inf")) < BACK_SECONDS

    @staticmethod
    def _live(judge: Judge, partners: Mapping[str, Partner]) -> list[tuple[str, Beat]]:
        return [(name, said) for name, one in partners.items() if (said := judge.said(one)) is not None]

    def _doubted(
        self, judge: Judge, partners: Mapping[str, Partner], unfit: frozenset[str]
    ) -> tuple[str, ...]:
        """
        Partners that are well and do not trust this gateway with traffic. They probe through it to every gateway
        elsewhere and so know better when all of those accept what it sends.
        """
        return tuple(
            name
            for name, said in self._live(judge, partners)
            if name not in unfit and said.well and said.trusted and self.name not in said.trusted
        )

    def _draining(self, judge: Judge, partners: Mapping[str, Partner], own: Own) -> set[str]:
        """Who hands over, or did and is not back: mostly it was restarted, and has to be found anew from elsewhere."""
        for name, said in self._live(judge, partners):
            if said.drain or (name in self._drained and not said.up):
                self._drained[name] = judge.now
            elif (
                name in self._drained
                and judge.now - self._drained[name] >= self.timing.hold
                and self._found(judge, partners[name], own, self._drained[name])
            ):
                del self._drained[name]
        return set(self._drained)

    def _returned(self, judge: Judge, name: str, partner: Partner, own: Own) -> bool:
        """
        What was never lost need not return. After a restart of tailscaled each gateway elsewhere has to find the way
        to it anew, one later than another; whoever has not would lose what it sends after a give-back.
        """
        if self._fit.get(name, True):
            return True
        return self._found(judge, partner, own, self._failed[name])

    @staticmethod
    def _found(judge: Judge, partner: Partner, own: Own, since: float) -> bool:
        return judge.reaches_all(partner, own, since) or judge.now - since >= RETURN_SECONDS

    def _well(
        self,
        judge: Judge,
        partners: Mapping[str, Partner],
        own: Own,
        lan: bool | None,
        far: bool,
        unfit: frozenset[str],
    ) -> bool:
        """Shall nodes send through me? A doubt counts only if a partner stands where I fail."""
        if not own.up or not own.loose:
            return False
        heard = [beat for beat in map(judge.said, partners.values()) if beat is not None]
        others = [beat for beat in heard if beat.up and not beat.drain]
        behind = any((beat.lan and lan is False) or (beat.far and not far) for beat in others)
        if not behind:
            self._behind = None
        elif self._behind is None:
            self._behind = judge.now
        lasting = self._behind is not None and judge.now - self._behind >= LASTING_BEATS * self.timing.beat
        return not lasting and not judge.accused(self.name, partners, unfit)

    def _settled(self, unfit: frozenset[str], well: bool, draining: Collection[str], now: float) -> list[int]:
        """
        The fit ones by number: those whose hold has passed; if there are none, whoever is fit at this moment; if that
        is nobody either, those that drain. A drain is a wish, and traffic that arrives is worth more.
        """
        fit_now = {name for name in self.names if (well if name == self.name else name not in unfit)}
        held = {name for name in self.names if self._hold(name).passed(name in fit_now, now)}
        chosen = held.difference(draining) or fit_now.difference(draining) or held or fit_now
        return [number for number, name in enumerate(self.names) if name in chosen]

    def _hold(self, name: str) -> Hold:
        return self._holds.setdefault(name, Hold(self.timing.hold, self.timing.longest_hold))

    def _to_ask(self, partner: Partner, now: float) -> bool:
        return partner.lan.at is None or now - partner.lan.at > self.timing.silence * ASK_AFTER
