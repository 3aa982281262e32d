"""Who counts as heard: one side that listens to a gateway, one side that a gateway answers from."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from agent.wire import Answer, Beat, Hello

# How often a gateway is greeted that is heard, and one that is not: it may have just come back.
HELLO_SECONDS, KNOCK_SECONDS = 2.0, 0.5
# A beat counts only while an answer to a fresh nonce is this recent. Ten hellos: with every fifth round trip lost, all
# of them are lost once in 10 million.
CONFIRMED_SECONDS = 20.0
# How far back the beat lies that a hello names; older ones may be recorded.
KNOWN_BEATS = 500
SUBSCRIBED_SECONDS = 20.0
MOST_SUBSCRIBERS = 4096
# Of more listeners than this each node hears every other beat. It finds a dead gateway as soon as before, by time; on
# its own LAN it needs to bear three lost beats in a row, not the nine of partners, whose way may be the tunnel.
MANY_SUBSCRIBERS = 64
MOST_NONCES = 40


@dataclass
class Listener:
    """What is known of one gateway over one path. Only an accepted beat moves `heard`."""

    name: str
    heard: float | None = None
    last: Beat | None = None
    boot: str = ""
    beat: int = 0
    confirmed: float | None = None
    greeted: float | None = None
    _nonces: dict[str, float] = field(default_factory=dict)

    def due(self, now: float) -> bool:
        """Is it time for the next hello? At once when a gateway's new run has just answered for the first time."""
        heard = self.heard is not None and now - self.heard < KNOCK_SECONDS
        return self.greeted is None or now - self.greeted >= (HELLO_SECONDS if heard else KNOCK_SECONDS)

    def hello(self, now: float, nonce: str, sender: str, boot: str, address: str, pods: str = "") -> Hello:
        self.greeted = now
        self._nonces[nonce] = now
        while len(self._nonces) > MOST_NONCES:
            del self._nonces[next(iter(self._nonces))]
        return Hello(
            sender=sender,
            boot=boot,
            nonce=nonce,
            address=address,
            heard_boot=self.boot,
            heard_beat=self.beat,
            pods=pods,
        )

    def answered(self, answer: Answer, now: float) -> bool:
        """An answer to one of the last hellos; each nonce counts once."""
        sent = self._nonces.pop(answer.nonce, None)
        if answer.sender != self.name or sent is None:
            return False
        # An answer that was held back is older than its arrival.
        self.confirmed = max(sent, self.confirmed or sent)
        if answer.boot != self.boot:
            self.boot, self.beat = answer.boot, answer.beat
            self.greeted = None
        else:
            self.beat = max(self.beat, answer.beat)
        return True

    def beaten(self, beat: Beat, now: float) -> bool:
        """A beat of the confirmed run, later than all before."""
        if beat.sender != self.name or beat.boot != self.boot or beat.beat <= self.beat:
            return False
        if self.confirmed is None or now - self.confirmed > CONFIRMED_SECONDS:
            return False
        self.beat, self.last, self.heard = beat.beat, beat, now
        return True


@dataclass
class Speaker:
    """A gateway's side: it answers every hello once, and beats for those who have heard it lately."""

    name: str
    boot: str
    beat: int = 0
    subscribers: dict[tuple[str, int], float] = field(default_factory=dict)
    # When each machine of the region was heard last, by its address.
    members: dict[str, float] = field(default_factory=dict)

    def greeted(self, hello: Hello, source: tuple[str, int], now: float) -> Answer | None:
        """The answer to a hello, if it comes from where it says."""
        if hello.address != source[0] or hello.sender == self.name:
            return None
        if hello.heard_boot == self.boot and 0 <= self.beat - hello.heard_beat <= KNOWN_BEATS:
            self.members[source[0]] = now
            if source in self.subscribers or len(self.subscribers) < MOST_SUBSCRIBERS:
                self.subscribers[source] = now + SUBSCRIBED_SECONDS
        return Answer(sender=self.name, boot=self.boot, nonce=hello.nonce, beat=self.beat)

    def audience(
        self, now: float, *, all_of_them: bool = False, always: Container[str] = ()
    ) -> list[tuple[str, int]]:
        """Where the next beat goes: of many listeners to every other one, and to those `always`, by address."""
        for source in [source for source, until in self.subscribers.items() if until < now]:
            del self.subscribers[source]
        if all_of_them or len(self.subscribers) <= MANY_SUBSCRIBERS:
            return list(self.subscribers)
        turn = self.beat % 2
        return [
            source
            for number, source in enumerate(self.subscribers)
            if number % 2 == turn or source[0] in always
        ]
