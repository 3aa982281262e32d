"""The agent's edges: probes and their reflector on the loopback, tailscaled's socket, and what HTTP answers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from agent import prober as probing
from agent import tailscale as watching
from agent.config import AgentConfig, Gateway, Ladder, Target
from agent.core.layout import Layout
from agent.localapi import Device, LocalApi, LocalApiError, Tailnet
from agent.prober import SLOW_SECONDS, Prober
from agent.status import answer, serve, serve_health
from agent.tailscale import Tailscale
from tests.failover.test_agent_kernel import config as gateway_config


def config(region: str, home: str, target: str, supernet: str = "127.0.0.0/8") -> AgentConfig:
    """A region with one gateway, at loopback addresses."""
    ladder = Ladder(
        blocks=(),
        probes=((IPv4Address(home),),),
        targets=(Target(name="far", region="far", address=IPv4Address(target)),),
    )
    return AgentConfig(
        role="gateway",
        region=region,
        name="gw",
        node_ip=IPv4Address("127.0.0.1"),
        pods=IPv4Network("10.128.1.0/24"),
        gateways=(Gateway(name="gw", address=IPv4Address("127.0.0.1")),),
        supernets=(IPv4Network(supernet),),
        mtu=1280,
        advmss=1240,
        key=region.encode() * 8,
        port=41699,
        ladder=ladder,
    )


@contextmanager
def prober(made: AgentConfig) -> Iterator[Prober]:
    assert made.ladder is not None
    loop = asyncio.get_running_loop()
    one = Prober(made, made.ladder, loop.time)
    try:
        yield one
    finally:
        one.close()


async def beats(one: Prober, count: int = 40) -> None:
    for _ in range(count):
        one.beat()
        await asyncio.sleep(0.002)


def test_a_probe_comes_back_from_another_regions_gateway_that_has_another_key() -> None:
    async def run() -> None:
        with (
            prober(config("hub", "127.0.1.1", "127.0.2.1")) as one,
            prober(config("gpu", "127.0.2.1", "127.0.1.1")),
        ):
            await beats(one)
            assert set(one.direct()) == {"far"}

    asyncio.run(run())


def test_without_the_other_gateway_nothing_is_heard_of_it() -> None:
    async def run() -> None:
        with prober(config("hub", "127.0.1.1", "127.0.2.1")) as one:
            await beats(one)
            assert one.direct() == {}

    asyncio.run(run())


def reflected(made: AgentConfig, data: bytes) -> bool:
    """Does the reflector send this back to a stranger?"""

    async def run() -> bool:
        with prober(made), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.3.1", 0))
            stranger.setblocking(False)
            stranger.sendto(data, ("127.0.1.1", made.port))
            await asyncio.sleep(0.05)
            try:
                assert stranger.recv(2048) == data
            except BlockingIOError:
                return False
            return True

    return asyncio.run(run())


def test_the_reflector_returns_probes_only_and_into_the_supernets_only() -> None:
    probe = probing.MAGIC + bytes(probing.SIZE - len(probing.MAGIC))
    inside = config("hub", "127.0.1.1", "127.0.2.1")
    assert reflected(inside, probe)
    assert not reflected(inside, probe + b"more")
    assert not reflected(inside, b"x" * probing.SIZE)
    assert not reflected(config("hub", "127.0.1.1", "127.0.2.1", "10.0.0.0/8"), probe)


def test_an_answer_counts_once_and_only_to_the_run_that_asked() -> None:
    async def run() -> None:
        with (
            prober(config("hub", "127.0.1.1", "127.0.2.1")) as one,
            prober(config("gpu", "127.0.2.1", "127.0.1.1")),
        ):
            sent: list[bytes] = []
            send = one._direct.send

            def recorded(data: bytes, to: tuple[str, int]) -> None:
                sent.append(data)
                send(data, to)

            one._direct.send = recorded  # type: ignore[method-assign]
            await beats(one)
            heard = one.direct()["far"]
            # Everything again, later, and to another run of the same gateway.
            for data in sent:
                one._receive(data, ("127.0.2.1", 41699), 0.0)
            assert one.direct()["far"] == heard
        with prober(config("hub", "127.0.1.1", "127.0.2.1")) as other:
            for data in sent:
                other._receive(data, ("127.0.2.1", 41699), 0.0)
            assert other.direct() == {}

    asyncio.run(run())


@contextmanager
def tailscaled(path: Path, handle: Callable[[str, bytes], tuple[int, object]]) -> Iterator[None]:
    """A socket that answers one request per connection."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                stream = connection.makefile("rb")
                head = b"".join(iter(stream.readline, b"\r\n"))
                lengths = [
                    line.split()[1] for line in head.splitlines() if line.startswith(b"Content-Length")
                ]
                body = stream.read(int(lengths[0])) if lengths else b""
                status, answered = handle(head.decode(), body)
                content = json.dumps(answered).encode()
                connection.sendall(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(content)) + content
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(2)


def test_the_tailnet_is_read_and_prefixes_are_set_through_the_socket(tmp_path: Path) -> None:
    patches: list[dict[str, object]] = []
    status = {
        "BackendState": "Running",
        "Self": {"HostName": "gw-1", "TailscaleIPs": ["100.64.0.1", "fd7a::1"]},
        "Peer": {"k": {"HostName": "gw-2", "TailscaleIPs": ["100.64.0.2"], "PrimaryRoutes": ["10.1.0.0/24"]}},
    }

    def handle(head: str, body: bytes) -> tuple[int, object]:
        if head.startswith("PATCH /localapi/v0/prefs"):
            patches.append(json.loads(body))
        return 200, status if "status" in head else {"AdvertiseRoutes": None}

    with tailscaled(tmp_path / "s", handle):
        api = LocalApi(str(tmp_path / "s"))
        tailnet = api.tailnet()
        assert tailnet.running
        assert tailnet.me.addresses == ("100.64.0.1",)
        assert [(peer.name, peer.routes) for peer in tailnet.peers] == [("gw-2", frozenset({"10.1.0.0/24"}))]
        assert api.advertised() == ()
        api.advertise(["10.1.0.0/25", "10.1.0.0/24"])
    assert patches == [{"AdvertiseRoutes": ["10.1.0.0/24", "10.1.0.0/25"], "AdvertiseRoutesSet": True}]


def test_a_tailscaled_that_refuses_or_is_gone_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with (
        tailscaled(tmp_path / "s", lambda head, body: (403, "access denied")),
        pytest.raises(LocalApiError, match=r"403.*access denied"),
    ):
        LocalApi(str(tmp_path / "s")).tailnet()
    with pytest.raises(LocalApiError, match="none"):
        LocalApi(str(tmp_path / "none")).advertised()


@pytest.mark.parametrize(("answer", "found"), [({"Err": "no route"}, False), ({"LatencySeconds": 0.1}, True)])
def test_the_way_to_a_peer_is_looked_for_through_the_socket(
    tmp_path: Path, answer: dict[str, object], found: bool
) -> None:
    asked: list[str] = []

    def handle(head: str, body: bytes) -> tuple[int, object]:
        asked.append(head.splitlines()[0])
        return 200, answer

    with tailscaled(tmp_path / "s", handle):
        assert LocalApi(str(tmp_path / "s")).seek("100.64.0.9") is found
    assert asked == ["POST /localapi/v0/ping?ip=100.64.0.9&type=disco HTTP/1.1"]


def tailnet(*peers: Device) -> Tailnet:
    return Tailnet(running=True, me=Device(name="gw-1", addresses=(), routes=frozenset()), peers=peers)


def watcher(socket_path: Path) -> Tailscale:
    made = gateway_config("gateway", 20)
    assert made.ladder is not None
    return Tailscale(str(socket_path), Layout(made.ladder, 2, 0, made.supernets[-1]))


def test_a_gateway_elsewhere_is_known_by_its_tailnet_address_until_it_leaves_the_tailnet(
    tmp_path: Path,
) -> None:
    far = Device(name="far", addresses=("100.64.0.9",), routes=frozenset(["10.129.0.4/30"]))
    one = watcher(tmp_path / "s")
    one._read(tailnet(far))
    assert one.elsewhere == {IPv4Address("10.129.0.4"): "100.64.0.9"}
    # Offline: the control server has taken its prefixes from it.
    one._read(tailnet(replace(far, routes=frozenset())))
    assert one.elsewhere == {IPv4Address("10.129.0.4"): "100.64.0.9"}
    one._read(tailnet())
    assert one.elsewhere == {}


def test_those_who_do_not_answer_are_looked_for_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SEEK_SECONDS", 0.01)
    monkeypatch.setattr(watching, "LINGER_SECONDS", 0.3)
    one = watcher(tmp_path / "s")
    monkeypatch.setattr(Tailscale, "up", property(lambda self: bool(self.state)))
    asked: list[str] = []
    monkeypatch.setattr(one._api, "seek", asked.append)

    async def run() -> None:
        task = asyncio.create_task(one._seek())
        one.lost = [f"100.64.0.{number}" for number in range(watching.SOUGHT + 2)]
        await asyncio.sleep(0.1)
        assert asked == []  # a tailscaled that is not up cannot look for anybody
        one.state = tailnet()
        while len(asked) < 40:
            await asyncio.sleep(0.01)
        one.lost = []
        before = len(asked)
        await asyncio.sleep(0.1)
        assert len(asked) > before  # they may answer by way of a relay only
        await asyncio.sleep(0.4)
        before = len(asked)
        await asyncio.sleep(0.1)
        assert len(asked) == before
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))
    assert {asked.count(f"100.64.0.{number}") > 1 for number in range(watching.SOUGHT + 2)} == {True}


def test_a_gateway_that_has_not_answered_for_a_while_is_lost() -> None:
    async def run() -> None:
        there, nowhere = IPv4Address("127.0.2.1"), IPv4Address("127.0.3.1")
        now = [0.0]
        with (
            prober(config("hub", "127.0.1.1", str(there))) as one,
            prober(config("gpu", str(there), "127.0.1.1")),
        ):
            one._clock = lambda: now[0]
            await beats(one)
            assert one.lost([there, nowhere]) == [nowhere]
            now[0] += SLOW_SECONDS
            assert one.lost([there]) == []
            now[0] += 1.0
            assert one.lost([there]) == [there]
            # The tailnet has another name for it: under whichever it answered last.
            one.learn([Target(name="far-in-the-tailnet", region="far", address=there)])
            await beats(one)
            for last in (0, 1):
                one._answered = {(probing.DIRECT, last): (1, now[0]), (probing.DIRECT, 1 - last): (1, 0.0)}
                assert one.lost([there]) == []

    asyncio.run(run())


class Draining:
    """An agent that drains."""

    asked: bool | None = None
    identity = "v1"

    def healthy(self) -> bool:
        return True

    def ready(self) -> tuple[bool, str]:
        return False, "drains"

    def metrics(self) -> dict[str, float]:
        return {"claims": 2.0, 'gateway_fit{gateway="gw-1"}': 1.0}

    def drain(self, wanted: bool) -> None:
        self.asked = wanted

    async def hand_over(self) -> str:
        return "relieved"

    def drained(self) -> tuple[bool, str]:
        return False, "waits"


@pytest.mark.parametrize(
    ("request_line", "status", "text"),
    [
        (b"GET /healthz HTTP/1.1", 200, "alive\n"),
        (b"GET /readyz HTTP/1.1", 503, "drains\n"),
        (b"GET /drain HTTP/1.1", 503, "waits\n"),
        (b"GET /identity HTTP/1.1", 200, "v1\n"),
        (
            b"GET /metrics HTTP/1.1",
            200,
            'tailspan_agent_claims 2\ntailspan_agent_gateway_fit{gateway="gw-1"} 1\n',
        ),
        (b"GET /secret HTTP/1.1", 404, "no /secret; there are /healthz /readyz /identity /drain /metrics\n"),
        (b"DELETE /drain HTTP/1.1", 405, "use GET\n"),
        (b"\r\n", 404, "no request\n"),
    ],
)
def test_http_answers(request_line: bytes, status: int, text: str) -> None:
    assert answer(Draining(), request_line) == (status, text)


def test_a_drain_is_asked_for_and_taken_back_by_http() -> None:
    agent = Draining()
    assert answer(agent, b"POST /drain HTTP/1.1")[0] == 202
    assert agent.asked is True
    assert answer(agent, b"POST /undrain HTTP/1.1")[0] == 202
    assert agent.asked is False


def test_a_pods_end_waits_for_the_answer_that_all_is_handed_over() -> None:
    async def ask() -> bytes:
        server = await serve(Draining(), "127.0.0.1:0")
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hand-over HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        return said

    said = asyncio.run(ask())
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert said.endswith(b"\r\n\r\nrelieved\n")


class Carrying(Draining):
    """An agent that carries traffic."""

    def ready(self) -> tuple[bool, str]:
        return True, "carries traffic"


@pytest.mark.parametrize(
    ("agent", "request_line", "status"),
    [
        (Carrying(), b"GET /readyz HTTP/1.1", b"200"),
        (Draining(), b"GET /readyz HTTP/1.1", b"503"),
        (Carrying(), b"GET /healthz HTTP/1.1", b"404"),
        (Carrying(), b"GET /metrics HTTP/1.1", b"404"),
        (Carrying(), b"GET /hand-over HTTP/1.1", b"404"),
        (Carrying(), b"POST /drain HTTP/1.1", b"404"),
        (Carrying(), b"", b"404"),
    ],
)
def test_a_load_balancer_learns_whether_the_gateway_carries_and_can_ask_for_nothing(
    agent: Draining, request_line: bytes, status: bytes
) -> None:
    async def ask() -> bytes:
        server = await serve_health(agent, "127.0.0.1:0")
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_line + b"\r\nHost: 10.0.0.253\r\n\r\n")
        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        return said

    assert asyncio.run(ask()).split()[1] == status
    assert agent.asked is None
