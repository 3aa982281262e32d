"""The agent at Amazon: its decisions, its signatures, and it all against a metadata service and an EC2 of our own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import parse_qs

import pytest

from agent.aws import ec2 as calls
from agent.aws import follower as following
from agent.aws import imds as metadata
from agent.aws.ec2 import Ec2
from agent.aws.follower import DENIED_BACKOFF, RouteFollower
from agent.aws.imds import Imds, ImdsError
from agent.aws.sigv4 import Credentials, Request, signed_headers
from agent.core.cloud_routes import (
    BUSY_SECONDS,
    CALM_SECONDS,
    LASTING_SECONDS,
    SHORTEST_PAUSE,
    Route,
    RouteWatch,
    View,
    view_of,
)
from agent.core.gateway import Decision

SUPERNETS = (IPv4Network("10.0.0.0/9"), IPv4Network("10.128.0.0/9"))
ADDRESSES = ("10.0.0.20", "10.0.0.21", "10.0.0.22")
ENIS = ("eni-1", "eni-2", "eni-3")
NUMBERS = dict(zip(ENIS, range(3), strict=True))
ALL = frozenset((0, 1, 2))
TO_NODES, TO_PODS = "10.1.0.0/24", "10.129.0.0/16"


def watch(me: int, fit: frozenset[int], *, proven: bool = True, at: float = 0.0) -> RouteWatch:
    made = RouteWatch(3, SUPERNETS)
    made.see(View(me, fit, proven), at)
    return made


def taken(made: RouteWatch, *routes: Route, now: float = 10.0) -> list[str]:
    return [route.destination for route in made.to_take(routes, NUMBERS, now)]


# What is decided.


def test_a_route_to_a_dead_partner_is_taken_and_no_other() -> None:
    routes = (
        Route("rtb-1", TO_NODES, "eni-1"),
        Route("rtb-1", TO_PODS, "eni-3"),
        Route("rtb-1", "10.2.0.0/24", "eni-2"),
        Route("rtb-1", "0.0.0.0/0", "eni-1"),
        Route("rtb-1", "192.168.0.0/16", "eni-1"),
        Route("rtb-1", "10.3.0.0/24", None),
        Route("rtb-1", "10.4.0.0/24", "eni-of-a-firewall"),
    )
    assert taken(watch(1, frozenset((1, 2))), *routes) == [TO_NODES]


def test_a_route_to_nobody_is_taken_also_if_its_interface_is_not_known_any_more() -> None:
    routes = (
        Route("rtb-1", TO_NODES, "eni-old", blackhole=True),
        Route("rtb-1", TO_PODS, "eni-1", blackhole=True),
    )
    assert taken(watch(0, ALL), *routes) == [TO_NODES]
    # A partner that forwards, as its partners see, is not to be judged by what Amazon says of its interface.
    assert taken(watch(1, frozenset((1, 2))), *routes) == [TO_NODES, TO_PODS]


@pytest.mark.parametrize(
    ("me", "fit", "proven"),
    [
        (2, frozenset((1, 2)), True),  # a lower one is fit
        (1, frozenset((1, 2)), False),  # it does not forward itself
        (1, frozenset((0, 2)), True),  # it is not trusted itself
        (1, frozenset(), True),
    ],
)
def test_who_is_not_the_lowest_fit_one_with_proof_does_nothing(
    me: int, fit: frozenset[int], proven: bool
) -> None:
    made = watch(me, fit, proven=proven)
    assert not made.due(1000.0)
    assert taken(made, Route("rtb-1", TO_NODES, "eni-1"), Route("rtb-1", TO_PODS, "eni-3")) == []


def test_it_looks_when_a_loss_lasts_and_then_now_and_then() -> None:
    made = watch(1, frozenset((1, 2)), at=100.0)
    assert not made.due(100.0 + LASTING_SECONDS - 0.1)
    assert made.due(100.0 + LASTING_SECONDS)
    made.looked(102.0)
    assert not made.due(102.0 + BUSY_SECONDS - 0.1)
    assert made.due(102.0 + BUSY_SECONDS)
    made.see(View(0, ALL, True), 120.0)
    assert made.due(122.0)
    made.looked(122.0)
    assert not made.due(122.0 + CALM_SECONDS - 0.1)
    made.failed()
    assert made.due(122.1)


def test_a_short_doubt_starts_no_look() -> None:
    made = watch(1, frozenset((1, 2)), at=0.0)
    made.see(View(1, ALL, True), 0.5)
    assert not made.due(50.0)


def test_a_route_that_somebody_takes_back_is_not_fought_for() -> None:
    made, route = watch(1, frozenset((1, 2))), Route("rtb-1", TO_NODES, "eni-1")
    now, pauses = 0.0, []
    for _ in range(5):
        made.took(route, now)
        begin = now
        while not taken(made, route, now=now):
            now += 1.0
        pauses.append(now - begin)
    assert pauses == [SHORTEST_PAUSE * 2**times for times in range(5)]


WELL: dict[str, Any] = {
    "lan": True, "far": True, "well": True, "unfit": ("gw-1",), "fit": (1, 2), "ask": (), "claims": {},
    "relieved": False, "returning": (), "doubted": (), "reasons": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "drain", "acts"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"well": False}, False, False),
        ({"far": False}, False, False),
        ({"fit": (0, 1, 2)}, False, False),
    ],
)
def test_a_gateway_acts_while_it_is_trusted_and_hears_from_elsewhere(
    changes: dict[str, Any], drain: bool, acts: bool
) -> None:
    decision = Decision(**(WELL | changes))
    assert view_of(decision, 1, drain=drain).responsible is acts


# What is signed. The examples are Amazon's own: the Signature Version 4 test suite, and the IAM user guide's.


@pytest.mark.parametrize(
    ("request_", "service", "signature"),
    [
        (
            Request("GET", "example.amazonaws.com"),
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Request(
                "POST",
                "example.amazonaws.com",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=b"Param1=value1",
            ),
            "service",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            Request(
                "GET",
                "iam.amazonaws.com",
                headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
                query={"Version": "2010-05-08", "Action": "ListUsers"},
            ),
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
)
def test_signatures_are_those_of_amazons_examples(request_: Request, service: str, signature: str) -> None:
    known = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    headers = signed_headers(request_, known, "us-east-1", service, 1440938160.0)
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"].endswith(f"Signature={signature}")


# Against servers of our own.

Fault = Callable[["Cloud", BaseHTTPRequestHandler, dict[str, str]], bool]
ROLE = "hub-gateways"
SECRET = "the-secret-of-the-role"


@dataclass
class Cloud:
    """A VPC: its routes by table and destination, interfaces by address, and what goes wrong with the next calls."""

    routes: dict[tuple[str, str], str]
    dead: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    seen: list[dict[str, str]] = field(default_factory=list)
    # The interface of the instance that asks; "" for one without a role.
    me: str = "eni-2"
    role: str = ROLE
    lifetime: float = 6 * 3600.0

    # The metadata service.

    def metadata(self, path: str) -> str | None:
        interface = "network/interfaces/macs/02:00:00:00:00:01"
        found = {
            "mac": "02:00:00:00:00:01",
            "placement/region": "us-east-1",
            "services/domain": "amazonaws.com",
            f"{interface}/vpc-id": "vpc-1",
            f"{interface}/interface-id": self.me,
            "iam/security-credentials/": self.role,
        }
        if self.role:
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lifetime))
            found[f"iam/security-credentials/{self.role}"] = json.dumps(
                {"AccessKeyId": "ASIA1", "SecretAccessKey": SECRET, "Token": "a-token", "Expiration": expires}
            )
        return found.get(path)

    # EC2.

    def answer(self, wanted: dict[str, str]) -> tuple[int, str]:
        action = wanted["Action"]
        if action == "DescribeRouteTables":
            return 200, self._tables(wanted)
        if action == "DescribeNetworkInterfaces":
            known = dict(zip(ADDRESSES, ENIS, strict=True))
            asked = [value for key, value in wanted.items() if key.startswith("Filter.2.Value.")]
            items = "".join(
                f"<item><networkInterfaceId>{known[one]}</networkInterfaceId>"
                f"<privateIpAddress>{one}</privateIpAddress></item>"
                for one in asked
            )
            return 200, wrapped(action, f"<networkInterfaceSet>{items}</networkInterfaceSet>")
        key = (wanted["RouteTableId"], wanted["DestinationCidrBlock"])
        if key not in self.routes:
            return 400, refusal("InvalidRoute.NotFound")
        self.routes[key] = wanted["NetworkInterfaceId"]
        return 200, wrapped(action, "<return>true</return>")

    def _tables(self, wanted: dict[str, str]) -> str:
        listed = [value for key, value in wanted.items() if key.startswith("RouteTableId.")]
        if not listed:
            assert (wanted["Filter.2.Name"], wanted["Filter.2.Value.1"]) == ("tag:tailspan:region", "hub")
        assert (wanted["Filter.1.Name"], wanted["Filter.1.Value.1"]) == ("vpc-id", "vpc-1")
        tables = sorted({table for table, _ in self.routes} & (set(listed) or {"rtb-1", "rtb-2"}))
        # A page for each table.
        number = int(wanted.get("NextToken", "0"))
        more = f"<nextToken>{number + 1}</nextToken>" if number + 1 < len(tables) else ""
        local = "<item><destinationCidrBlock>10.0.0.0/24</destinationCidrBlock><gatewayId>local</gatewayId></item>"
        six = "<item><destinationIpv6CidrBlock>::/0</destinationIpv6CidrBlock></item>"
        items = local + six
        for (table, destination), interface in self.routes.items():
            if table == tables[number]:
                state = "blackhole" if interface in self.dead else "active"
                items += (
                    f"<item><destinationCidrBlock>{destination}</destinationCidrBlock>"
                    f"<networkInterfaceId>{interface}</networkInterfaceId><state>{state}</state></item>"
                )
        table = f"<item><routeTableId>{tables[number]}</routeTableId><routeSet>{items}</routeSet></item>"
        return wrapped("DescribeRouteTables", f"<routeTableSet>{table}</routeTableSet>{more}")


def wrapped(action: str, body: str) -> str:
    space = "http://ec2.amazonaws.com/doc/2016-11-15/"
    return f'<{action}Response xmlns="{space}"><requestId>1</requestId>{body}</{action}Response>'


def refusal(code: str) -> str:
    error = f"<Error><Code>{code}</Code><Message>said by the test</Message></Error>"
    return f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"


def reply(handler: BaseHTTPRequestHandler, status: int, text: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())


def handler_of(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_PUT(self) -> None:
            known = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            reply(self, 200 if known else 404, "session")

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != "session":
                return reply(self, 401, "")
            cloud.asked[self.path] += 1
            found = cloud.metadata(self.path.removeprefix("/latest/meta-data/"))
            reply(self, 404 if found is None else 200, found or "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            cloud.asked[wanted["Action"]] += 1
            cloud.seen.append(dict(self.headers.items()))
            if cloud.faults and cloud.faults.pop(0)(cloud, self, wanted):
                return
            self._verify(body)
            reply(self, *cloud.answer(wanted))

        def _verify(self, body: bytes) -> None:
            """What arrived is what was signed."""
            moment = calendar_of(self.headers["X-Amz-Date"])
            plain = {"content-type": self.headers["Content-Type"]}
            request = Request("POST", self.headers["Host"], headers=plain, body=body)
            known = Credentials("ASIA1", SECRET, self.headers["X-Amz-Security-Token"])
            expected = signed_headers(request, known, "us-east-1", "ec2", moment)
            assert self.headers["Authorization"] == expected["authorization"]

    return Handler


def calendar_of(text: str) -> float:
    import calendar

    return float(calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ")))


@contextmanager
def served(cloud: Cloud) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(cloud))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Stand:
    """Gateway 2 of three, whose partner 1 is dead, with a clock of its own."""

    cloud: Cloud
    follower: RouteFollower
    watch: RouteWatch
    imds: Imds
    clock: list[float]

    def look(self) -> None:
        """As the task does, when it is time."""
        if self.clock[0] >= self.follower._quiet_until and self.watch.due(self.clock[0]):
            self.follower.look()

    def wait(self, seconds: float) -> None:
        self.clock[0] += seconds


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setattr(calls, "TIMEOUT", 0.3)
    monkeypatch.setattr(metadata, "TIMEOUT", 0.3)
    cloud = Cloud({("rtb-1", TO_NODES): "eni-1", ("rtb-1", TO_PODS): "eni-1", ("rtb-2", TO_PODS): "eni-3"})
    with served(cloud) as address:
        yield stand_of(cloud, address)


def stand_of(cloud: Cloud, address: str, tables: tuple[str, ...] = ()) -> Stand:
    clock = [100.0]
    imds = Imds(address)
    made = RouteWatch(3, SUPERNETS)
    follower = RouteFollower(
        ADDRESSES,
        made,
        tables,
        ("tailspan:region", "hub"),
        lambda: clock[0],
        imds,
        Ec2(imds, f"http://{address}"),
    )
    follower.see(View(1, frozenset((1, 2)), True))
    clock[0] += LASTING_SECONDS
    return Stand(cloud, follower, made, imds, clock)


DONE = {("rtb-1", TO_NODES): "eni-2", ("rtb-1", TO_PODS): "eni-2", ("rtb-2", TO_PODS): "eni-3"}


def test_it_takes_what_led_to_the_dead_one_in_every_table_and_nothing_else(stand: Stand) -> None:
    stand.look()
    assert stand.cloud.routes == DONE
    assert (stand.follower.moved, stand.follower.failures) == (2, 0)
    assert stand.cloud.asked["DescribeRouteTables"] == 2  # both pages
    stand.look()
    assert stand.cloud.asked["DescribeRouteTables"] == 2  # not before the next time


def test_tables_of_somebody_elses_network_are_asked_for_by_their_ids() -> None:
    cloud = Cloud({("rtb-9", TO_PODS): "eni-1", ("rtb-1", TO_PODS): "eni-1"})
    with served(cloud) as address:
        stand_of(cloud, address, ("rtb-9",)).look()
    assert cloud.routes == {("rtb-9", TO_PODS): "eni-2", ("rtb-1", TO_PODS): "eni-1"}


def test_secrets_are_in_no_log(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    stand.cloud.faults = [refused("UnauthorizedOperation", 403)]
    stand.look()
    said = capsys.readouterr().err
    assert "UnauthorizedOperation" in said
    assert SECRET not in said
    assert "a-token" not in said


def refused(code: str, status: int) -> Fault:
    def fault(_: Cloud, handler: BaseHTTPRequestHandler, __: dict[str, str]) -> bool:
        reply(handler, status, refusal(code))
        return True

    return fault


def says(text: str, status: int = 200) -> Fault:
    def fault(_: Cloud, handler: BaseHTTPRequestHandler, __: dict[str, str]) -> bool:
        reply(handler, status, text)
        return True

    return fault


def slow(_: Cloud, __: BaseHTTPRequestHandler, ___: dict[str, str]) -> bool:
    time.sleep(0.6)
    return True


def hangs_up(_: Cloud, handler: BaseHTTPRequestHandler, __: dict[str, str]) -> bool:
    handler.close_connection = True
    return True


def done_but_slow(cloud: Cloud, _: BaseHTTPRequestHandler, wanted: dict[str, str]) -> bool:
    """It happened, and the answer never came."""
    cloud.answer(wanted)
    return True


def fine(_: Cloud, __: BaseHTTPRequestHandler, ___: dict[str, str]) -> bool:
    return False


EMPTY = wrapped("DescribeRouteTables", "<routeTableSet/>")
FAULTS: dict[str, list[Fault]] = {
    "throttled": [refused("RequestLimitExceeded", 503)],
    "throttled for long": [refused("RequestLimitExceeded", 503)] * 6,
    "throttled by a proxy": [says("<html>Service Unavailable", 503)],
    "slow": [slow],
    "hangs up": [hangs_up],
    "no XML": [says("<html>welcome to the hotel")],
    "half of an answer": [says(EMPTY[:40])],
    "another answer": [says(wrapped("DescribeVpcs", "<vpcSet/>"))],
    "a table without its id": [
        says(wrapped("DescribeRouteTables", "<routeTableSet><item/></routeTableSet>"))
    ],
    "an error inside EC2": [refused("InternalError", 500)],
    "throttled in the middle": [fine, fine, fine, fine, refused("RequestLimitExceeded", 503)],
    "the first move slow and done": [fine, fine, fine, done_but_slow],
    "a move that says no": [fine, fine, fine, says(wrapped("ReplaceRoute", "<return>false</return>"))],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_tried_again_later_and_comes_to_the_same_end(stand: Stand, fault: str) -> None:
    stand.cloud.faults = list(FAULTS[fault])
    for _ in range(60):
        stand.look()
        stand.wait(3.0)
    assert stand.cloud.routes == DONE
    assert stand.follower.failures > 0


def test_it_does_not_hammer_a_cloud_that_throttles(stand: Stand) -> None:
    stand.cloud.faults = [refused("RequestLimitExceeded", 503)] * 1000
    for _ in range(600):
        stand.look()
        stand.wait(0.5)
    # Five minutes: 1, 2, 4, 8, 16, 32 seconds apart, and then a minute.
    assert 6 <= stand.cloud.asked["DescribeRouteTables"] <= 14


def test_without_the_right_it_asks_rarely_and_gets_new_credentials(stand: Stand) -> None:
    stand.cloud.faults = [refused("UnauthorizedOperation", 403)] * 2
    stand.look()
    asked = stand.cloud.asked[f"/latest/meta-data/iam/security-credentials/{ROLE}"]
    stand.wait(DENIED_BACKOFF * 0.7)
    stand.look()
    assert stand.cloud.asked["DescribeRouteTables"] == 1
    stand.wait(DENIED_BACKOFF)
    stand.look()
    assert stand.cloud.asked["DescribeRouteTables"] == 2
    assert stand.cloud.asked[f"/latest/meta-data/iam/security-credentials/{ROLE}"] == asked + 1


def test_a_route_that_is_removed_in_this_moment_stops_nothing(stand: Stand) -> None:
    def removed(cloud: Cloud, _: BaseHTTPRequestHandler, __: dict[str, str]) -> bool:
        del cloud.routes["rtb-1", TO_NODES]
        return False

    stand.cloud.faults = [fine, fine, fine, removed]
    stand.look()
    assert stand.cloud.routes == {key: value for key, value in DONE.items() if key[1] != TO_NODES}
    assert stand.follower.failures == 0


def test_it_stops_in_the_middle_when_it_is_not_its_business_any_more(stand: Stand) -> None:
    def recovers(_: Cloud, __: BaseHTTPRequestHandler, ___: dict[str, str]) -> bool:
        stand.follower.see(View(1, ALL, True))
        return False

    stand.cloud.faults = [fine, fine, fine, recovers]
    stand.look()
    assert stand.cloud.asked["ReplaceRoute"] == 1


def test_two_that_find_each_other_dead_do_not_fight(stand: Stand) -> None:
    """The partner takes the routes back within a second, for ten minutes."""
    for _ in range(600):
        stand.look()
        stand.cloud.routes |= {("rtb-1", TO_NODES): "eni-1", ("rtb-1", TO_PODS): "eni-1"}
        stand.wait(1.0)
    assert stand.cloud.asked["ReplaceRoute"] <= 2 * 8


@pytest.mark.parametrize("trouble", ["no role", "another machine", "no metadata service"])
def test_an_instance_that_is_not_what_it_should_be_touches_nothing(stand: Stand, trouble: str) -> None:
    before = dict(stand.cloud.routes)
    if trouble == "no role":
        stand.cloud.role = ""
    elif trouble == "another machine":
        stand.cloud.me = "eni-of-something-else"
    else:
        stand.imds._address = "127.0.0.1:1"
    for _ in range(20):
        stand.look()
        stand.wait(30.0)
    assert stand.cloud.routes == before
    assert stand.cloud.asked["ReplaceRoute"] == 0
    assert stand.follower.failures >= 1


def test_credentials_are_renewed_before_they_end(stand: Stand) -> None:
    path = f"/latest/meta-data/iam/security-credentials/{ROLE}"
    stand.imds.credentials()
    stand.imds.credentials()
    assert stand.cloud.asked[path] == 1
    stand.cloud.lifetime = 60.0
    stand.imds.forget()
    stand.imds.credentials()
    stand.imds.credentials()
    assert stand.cloud.asked[path] == 3


def test_credentials_that_cannot_be_read_are_not_quoted(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, "metadata", lambda self, path: f"{SECRET} is no JSON")
    with pytest.raises(ImdsError) as caught:
        stand.imds.credentials()
    assert SECRET not in str(caught.value)


def test_the_task_moves_routes_and_ends_when_it_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOP_SECONDS", 0.01)

    async def main() -> None:
        task = asyncio.create_task(stand.follower.run())
        until = time.monotonic() + 5
        while stand.cloud.routes != DONE and time.monotonic() < until:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert stand.cloud.routes == DONE


def test_a_gateway_that_drains_waits_until_no_route_leads_to_it(stand: Stand) -> None:
    view = View(1, frozenset((2,)), False)
    stand.cloud.routes = {
        ("rtb-1", TO_PODS): "eni-2",
        ("rtb-2", TO_PODS): "eni-2",
        ("rtb-2", TO_NODES): "eni-3",
    }
    assert stand.follower.waits() is None
    stand.follower.see(view, drain=True)
    assert stand.follower.waits() == "waits to hear whether routes of the VPC lead here"
    stand.follower.count()
    assert stand.follower.waits() == "waits for partners to take 2 routes of the VPC"
    stand.cloud.routes = dict.fromkeys(stand.cloud.routes, "eni-3")
    stand.follower.count()
    assert stand.follower.waits() is None
    stand.follower.see(view, drain=False)
    assert stand.follower.waits() is None
    stand.follower.see(view, drain=True)
    assert stand.follower.waits() is not None


def test_a_drain_does_not_wait_for_a_cloud_that_does_not_answer(stand: Stand) -> None:
    stand.follower.see(View(1, frozenset((2,)), False), drain=True)
    stand.cloud.faults = [slow] * 9
    stand.follower.count()
    assert stand.follower.waits() is None
    # And does not hammer it.
    assert stand.follower._quiet_until > stand.clock[0]


def test_a_drain_does_not_wait_out_a_pause_that_began_before_it(stand: Stand) -> None:
    stand.cloud.faults = [slow] * 9
    stand.follower.look()
    assert stand.follower._quiet_until > stand.clock[0]
    stand.follower.see(View(1, frozenset((2,)), False), drain=True)
    assert stand.follower.waits() is None
    stand.clock[0] = stand.follower._quiet_until
    assert stand.follower.waits() is not None


def test_who_stays_drained_asks_amazon_no_longer_than_routes_lead_to_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOP_SECONDS", 0.01)
    monkeypatch.setattr(following, "COUNT_SECONDS", 0.0)
    stand.cloud.routes = {("rtb-1", TO_PODS): "eni-2"}
    counts: list[str | None] = []
    count = stand.follower.count

    def counted() -> None:
        count()
        counts.append(stand.follower.waits())
        if len(counts) == 2:
            stand.cloud.routes = {("rtb-1", TO_PODS): "eni-3"}

    monkeypatch.setattr(stand.follower, "count", counted)

    async def main() -> None:
        stand.follower.see(View(1, frozenset((2,)), False), drain=True)
        task = asyncio.create_task(stand.follower.run())
        until = time.monotonic() + 5
        while None not in counts and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(main())
    assert counts == [*["waits for partners to take 1 routes of the VPC"] * 2, None]


def test_a_slow_cloud_does_not_hold_up_the_beats(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOP_SECONDS", 0.01)
    stand.cloud.faults = [slow] * 3

    async def main() -> float:
        task = asyncio.create_task(stand.follower.run())
        longest, last = 0.0, time.monotonic()
        for _ in range(50):
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return longest

    # Each answer takes 0.3 s until it is given up.
    assert asyncio.run(main()) < 0.25
