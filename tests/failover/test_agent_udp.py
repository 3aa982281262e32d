"""When an agent reads what comes: once per beat while all is well, at once as soon as a partner falls silent."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.clock import Clock
from agent.config import AgentConfig, Gateway
from agent.heartbeats import Heartbeats
from agent.udp import UdpPort
from agent.wire import Ask, Beat, Say, seal, unseal

ADDRESS, PORT = "127.0.4.1", 41698
PARTNER = "127.0.4.2"
KEY = bytes(32)
OLDEST = 0.1


class Heard(list[tuple[bytes, float]]):
    def __call__(self, data: bytes, source: tuple[str, int], age: float) -> None:
        self.append((data, age))


async def until(holds: Callable[[], bool], seconds: float = 2.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def with_port(check: Callable[[UdpPort, Heard, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        heard = Heard()
        port = UdpPort(ADDRESS, PORT, heard, OLDEST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.connect((ADDRESS, PORT))
            try:
                await check(port, heard, other)
            finally:
                port.close()

    asyncio.run(run())


def test_what_comes_is_handed_over_at_once_or_at_the_next_read_with_its_age() -> None:
    async def check(port: UdpPort, heard: Heard, other: socket.socket) -> None:
        other.send(b"at once")
        await until(lambda: len(heard) == 1)
        port.watch(False)
        for _ in range(20):
            other.send(b"later")
            await asyncio.sleep(0.06)
            assert len(heard) == 1
            assert port.read()
            data, age = heard.pop()
            assert data == b"later"
            if age:
                break
            # The kernel takes a moment to begin with timestamps; until then a datagram counts as fresh.
        assert 0.055 <= age <= OLDEST

    with_port(check)


def test_a_wall_clock_that_is_set_changes_an_age_by_a_beat_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(port: UdpPort, heard: Heard, other: socket.socket) -> None:
        port.watch(False)
        now = time.time
        for hours in (-5, 5):
            other.send(b"x")
            monkeypatch.setattr(time, "time", lambda by=hours * 3600: now() + by)
            port.read()
        assert [age for _, age in heard] == [0.0, OLDEST]

    with_port(check)


def test_of_a_flood_no_more_is_read_in_a_row_than_leaves_time_for_the_rest() -> None:
    async def check(port: UdpPort, heard: Heard, other: socket.socket) -> None:
        port.watch(False)
        for number in range(150):
            other.send(b"%d" % number)
        assert not port.read()
        assert len(heard) == 64
        assert not port.read()
        assert port.read()
        assert [data for data, _ in heard] == [b"%d" % number for number in range(150)]

    with_port(check)


def config(name: str, address: str) -> AgentConfig:
    return AgentConfig(
        role="gateway",
        region="hub",
        name=name,
        node_ip=IPv4Address(address),
        pods=IPv4Network("10.128.1.0/24"),
        gateways=(
            Gateway(name="gw-1", address=IPv4Address(ADDRESS)),
            Gateway(name="gw-2", address=IPv4Address(PARTNER)),
        ),
        supernets=(IPv4Network("10.0.0.0/8"),),
        mtu=1280,
        advmss=1240,
        key=KEY,
        port=PORT,
    )


def words(name: str) -> Callable[[str, int], Beat]:
    return lambda boot, beat: Beat(sender=name, boot=boot, beat=beat)


@contextmanager
def heartbeats(made: AgentConfig) -> Iterator[tuple[Heartbeats, Clock]]:
    clock = Clock(made.timing.beat)
    one = Heartbeats(made, clock, lambda pods, now: None)
    try:
        yield one, clock
    finally:
        one._lan.port.close()


def test_a_gateway_reads_once_per_beat_until_a_partner_falls_silent() -> None:
    async def run() -> None:
        first, second = config("gw-1", ADDRESS), config("gw-2", PARTNER)
        beat = first.timing.beat
        with heartbeats(first) as (one, clock), heartbeats(second) as (two, clock_of_two):

            async def pass_beats(count: int, *, both: bool) -> None:
                for _ in range(count):
                    await asyncio.sleep(beat)
                    for name, who, its in (("gw-1", one, clock), ("gw-2", two, clock_of_two)):
                        if name == "gw-1" or both:
                            its.tick()
                            who.listen(its.now())
                            who.greet(its.now(), lambda _: None)
                            who.beat(its.now(), words(name))

            one.listen(clock.now())
            assert one._lan.port.watched
            await pass_beats(12, both=True)
            for _ in range(30):
                # A machine that is busy with other work may be late at times.
                if one._lan.port.watched:
                    await pass_beats(1, both=True)
            assert not one._lan.port.watched
            # An arrival is told by when the datagram came, not by when it was read.
            heard = one.on_lan("gw-2").at
            assert heard is not None
            assert clock.now() - heard >= beat / 2
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.4.9", 0))
                for _ in range(150):
                    stranger.sendto(b"x", (ADDRESS, PORT))
            clock.tick()
            one.listen(clock.now())
            assert 0 < one.refused <= 64
            # The rest does not wait for the next beat.
            await until(lambda: one.refused == 150)
            await pass_beats(4, both=False)
            # Long before anybody is asked about it.
            assert one._lan.port.watched
            assert clock.now() - heard < first.timing.silence

    asyncio.run(run())


def test_whoever_asks_about_a_silent_gateway_is_answered_at_once() -> None:
    """A node or a partner that hears nothing of it any more reads as soon as something comes."""

    async def run() -> None:
        with heartbeats(config("gw-1", ADDRESS)) as (one, clock):
            clock.tick()
            one.listen(clock.now())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.bind(("127.0.4.9", PORT))
                asking.setblocking(False)
                ask = Ask(sender="gw-3", boot="b", nonce="n", about="gw-2")
                asking.sendto(seal(ask, "hub", KEY), (ADDRESS, PORT))
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(asking, 2048), 2)
                said = unseal(answer, "hub", KEY)
                assert isinstance(said, Say)

    asyncio.run(run())
