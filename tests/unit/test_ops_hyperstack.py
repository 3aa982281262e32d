"""Renting a machine by the seller's API: once, whatever goes wrong on the way, and all of it given back."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ops.__main__ import main
from tests.stacks import ROOT
from tests.unit.hyperstack_server import (
    CUT,
    CUT_AFTER,
    ENVIRONMENT,
    KEY,
    MACHINES,
    Answer,
    Hyperstack,
    Json,
    refusal,
    selling,
)

TAG = "tailspan-0123456789abcdef0123"
SSH = {"protocol": "tcp", "port": 22, "source": "198.51.100.1/32"}
WIREGUARD = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
USER_DATA = "#cloud-config\nssh_keys: {ed25519_private: secret-host-key}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rented.POLL", 0.005)
    monkeypatch.setattr("ops.rented.LOOK", 0.05)
    monkeypatch.setattr("ops.rented.GRACE", 0.02)
    monkeypatch.setattr("ops.patient.FIRST_WAIT", 0.005)
    monkeypatch.setattr("ops.patient.LONGEST_WAIT", 0.05)
    monkeypatch.delenv("TAILSPAN_HYPERSTACK_API_KEY", raising=False)


@pytest.fixture
def seller() -> Iterator[Hyperstack]:
    with selling() as server:
        yield server


def request_for(seller: Hyperstack, **changes: Any) -> Json:
    machine = {
        "name": "gpu-a",
        "tag": TAG,
        "machine_type": "n3-H100x8",
        "user_data": USER_DATA,
        "openings": [SSH, WIREGUARD],
    }
    return {
        "seller": "hyperstack",
        "api": seller.url,
        "api_key": changes.pop("api_key", KEY),
        "place": {"environment": ENVIRONMENT, "image": "Ubuntu Server 24.04 LTS", "key_name": "ops"},
        "timeout": changes.pop("timeout", 20),
        "machine": machine | changes,
    }


class Run:
    """`python -m ops v1 <verb>`, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys
        self.err = ""

    def __call__(self, verb: str, request: Json) -> Json:
        """Its result, of a run that goes well."""
        code, out = self._run(verb, request)
        assert code == 0, self.err
        result: Json = json.loads(out)
        return result

    def fails(self, verb: str, request: Json) -> str:
        """The last line of a run that fails."""
        code, out = self._run(verb, request)
        assert (code, out) == (1, "")
        last = self.err.splitlines()[-1]
        assert last.startswith("ops: ")
        return last

    def _run(self, verb: str, request: Json) -> tuple[int, str]:
        self._patch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
        code = main(["v1", verb])
        out, self.err = self._capsys.readouterr()
        # Whatever happens, no secret is shown.
        for secret in (KEY, "secret-host-key"):
            assert secret not in out + self.err
        return code, out


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


def on_order(*answers: Answer | None) -> Any:
    """Faults for the first orders, one after the other."""
    waiting = list(answers)

    def fault(method: str, path: str, body: Json | None) -> Answer | None:
        return waiting.pop(0) if (method, path) == ("POST", MACHINES) and waiting else None

    return fault


def test_a_machine_is_ordered_and_waited_for(seller: Hyperstack, run: Run) -> None:
    result = run("machine-create", request_for(seller))
    assert result == {"id": "7", "public_ip": "198.51.100.7", "private_ip": "10.0.7.7"}
    assert seller.orders() == 1
    sent = seller.bodies[0]
    assert (sent["name"], sent["flavor_name"], sent["labels"]) == ("gpu-a", "n3-H100x8", [TAG])
    assert (sent["assign_floating_ip"], sent["enable_port_randomization"]) == (True, False)
    assert "gpu-a (n3-H100x8): 7 is BUILD, no public address yet" in run.err


def test_exactly_the_stated_openings_are_ordered(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    rules = {
        (r["direction"], r["protocol"], r["port_range_min"], r["port_range_max"], r["remote_ip_prefix"])
        for r in seller.machines[7]["security_rules"]
    }
    assert rules == {
        ("ingress", "tcp", 22, 22, "198.51.100.1/32"),
        ("ingress", "udp", 41641, 41641, "0.0.0.0/0"),
    }


def test_a_second_run_finds_the_machine_and_says_the_same(seller: Hyperstack, run: Run) -> None:
    first = run("machine-create", request_for(seller))
    assert run("machine-create", request_for(seller)) == first
    assert seller.orders() == 1


def test_a_run_killed_after_its_order_arrived_is_followed_by_one_that_finds_the_machine(
    seller: Hyperstack, run: Run
) -> None:
    arrived, never = threading.Event(), threading.Event()

    def fault(method: str, path: str, body: Json | None) -> Answer | None:
        if (method, path) != ("POST", MACHINES):
            return None
        with seller.lock:
            seller.answer(method, path, body)
        arrived.set()
        never.wait(20)
        return CUT

    seller.fault = fault
    child = subprocess.Popen(
        [sys.executable, "-m", "ops", "v1", "machine-create"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdin
    child.stdin.write(json.dumps(request_for(seller)))
    child.stdin.close()
    assert arrived.wait(30)
    child.send_signal(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    assert child.stdout
    assert child.stdout.read() == ""
    child.stdout.close()
    seller.fault = None
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert (seller.orders(), list(seller.machines)) == (1, [7])
    never.set()


def test_an_order_without_an_answer_that_was_carried_out_is_not_sent_again(
    seller: Hyperstack, run: Run
) -> None:
    seller.fault = on_order(CUT_AFTER)
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert seller.orders() == 1
    assert "was ordered as 7 all the same" in run.err


@pytest.mark.parametrize(
    "answer", [CUT, refusal(500, "Internal Server Error"), refusal(502, "bad gateway")], ids=str
)
def test_an_order_that_never_arrived_is_sent_again_after_a_look(
    seller: Hyperstack, run: Run, answer: Answer
) -> None:
    seller.fault = on_order(answer)
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert seller.orders() == 2
    between = seller.log[seller.log.index(("POST", MACHINES)) + 1 :]
    assert between[0] == ("GET", MACHINES)


@pytest.mark.parametrize(
    "body",
    ["<html>", {"status": True}, {"instances": [{"id": "seven"}]}, {"instances": "none"}, []],
    ids=str,
)
def test_an_order_whose_answer_cannot_be_read_is_looked_up(seller: Hyperstack, run: Run, body: Any) -> None:
    seller.fault = on_order(Answer(200, body, when="after"))
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert seller.orders() == 1


def test_orders_that_show_up_late_leave_one_machine(seller: Hyperstack, run: Run) -> None:
    def late(method: str, path: str, body: Json | None) -> Answer | None:
        # Carried out, but the list does not show it before the second order.
        if (method, path) == ("GET", MACHINES) and seller.orders() == 1:
            return Answer(200, {"status": True, "instances": [], "count": 0})
        return CUT_AFTER if (method, path) == ("POST", MACHINES) and seller.orders() == 1 else None

    seller.fault = late
    result = run("machine-create", request_for(seller))
    assert (seller.orders(), [str(number) for number in seller.machines]) == (2, [result["id"]])
    assert "is a twin of" in run.err


def test_a_second_order_refused_because_the_first_has_the_name_is_found(seller: Hyperstack, run: Run) -> None:
    def taken(method: str, path: str, body: Json | None) -> Answer | None:
        if (method, path) == ("GET", MACHINES) and seller.orders() == 1:
            return Answer(200, {"status": True, "instances": [], "count": 0})
        if (method, path) == ("POST", MACHINES):
            return CUT_AFTER if seller.orders() == 1 else refusal(409, "name gpu-a is already in use")
        return None

    seller.fault = taken
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert list(seller.machines) == [7]


def test_orders_that_never_get_an_answer_end(seller: Hyperstack, run: Run) -> None:
    seller.fault = on_order(CUT, CUT, CUT, CUT, CUT)
    said = run.fails("machine-create", request_for(seller))
    assert seller.orders() == 3
    assert f"ordered in Hyperstack environment {ENVIRONMENT} without a clear answer" in said


def test_too_many_requests_are_waited_for(seller: Hyperstack, run: Run) -> None:
    left = {"GET": 3, "POST": 3}

    def storm(method: str, path: str, body: Json | None) -> Answer | None:
        if left.get(method):
            left[method] -= 1
            return refusal(429, "Too Many Requests", **{"Retry-After": "1"})
        return None

    seller.fault = storm
    run("machine-create", request_for(seller))
    # A refused order did nothing, so it may be sent again; and it is one machine.
    assert (seller.orders(), list(seller.machines)) == (4, [7])
    assert "HTTP 429: Too Many Requests" in run.err


def test_a_storm_that_does_not_end_is_told(seller: Hyperstack, run: Run) -> None:
    seller.fault = lambda method, path, body: refusal(429, "Too Many Requests")
    said = run.fails("machine-create", request_for(seller))
    assert f"GET {MACHINES.removeprefix('/v1')}: refused 8 times for too many requests" in said
    assert len(seller.log) == 8


def test_a_read_that_fails_once_is_repeated(seller: Hyperstack, run: Run) -> None:
    failed: set[str] = set()

    def once(method: str, path: str, body: Json | None) -> Answer | None:
        if method == "GET" and path not in failed:
            failed.add(path)
            return refusal(500, "Internal Server Error")
        return None

    seller.fault = once
    run("machine-create", request_for(seller))
    assert len(failed) == 2
    assert seller.orders() == 1


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (400, "Insufficient balance to create the resource", "top it up"),
        (400, "VM quota exceeded: 4 of 4 in use", "a quota is used up: ask the seller for more"),
        (409, "Not enough available stock for flavor n3-H100x8", "nothing of that size is free there"),
        (404, "Flavor n3-H100x8 does not exist", "GET /core/flavors"),
        (404, "Image not found", "provider.image"),
        (404, "Keypair ops not found", "provider.key_name"),
        (400, "something new", "mend what it says"),
        (403, "Forbidden", "pulumi config set --secret tailspan:hyperstackApiKey"),
    ],
)
def test_a_refused_order_says_what_where_why_and_what_to_do(
    seller: Hyperstack, run: Run, status: int, message: str, advice: str
) -> None:
    seller.fault = on_order(refusal(status, message))
    said = run.fails("machine-create", request_for(seller))
    for part in ("machine gpu-a", "flavor n3-H100x8", f"environment {ENVIRONMENT}", message, advice):
        assert part in said
    assert seller.orders() == 1


def test_a_refusal_inside_a_200_is_one(seller: Hyperstack, run: Run) -> None:
    seller.fault = on_order(Answer(200, {"status": False, "message": "out of stock"}))
    assert "nothing of that size is free" in run.fails("machine-create", request_for(seller))


def test_a_machine_that_never_runs_is_told_with_its_last_state(seller: Hyperstack, run: Run) -> None:
    seller.states = ["CREATING", "BUILD"]
    said = run.fails("machine-create", request_for(seller, timeout=2))
    assert "not running within 2 s; last seen: BUILD, no public address yet" in said
    assert "It exists as 7" in said
    seller.states = ["CREATING", "BUILD", "ACTIVE"]
    assert run("machine-create", request_for(seller))["id"] == "7"
    assert seller.orders() == 1


def test_a_machine_that_fails_on_its_way_is_deleted_and_told(seller: Hyperstack, run: Run) -> None:
    seller.states = ["CREATING", "ERROR"]
    said = run.fails("machine-create", request_for(seller))
    assert "7 in Hyperstack environment default-CANADA-1 came to ERROR" in said
    assert "It is being deleted" in said
    assert ("DELETE", f"{MACHINES}/7") in seller.log
    # The next run does not take the failed one for its own.
    seller.states = ["ACTIVE"]
    assert run("machine-create", request_for(seller))["id"] == "8"
    assert list(seller.machines) == [8]


def test_a_machine_that_runs_without_an_address_asks_for_one(seller: Hyperstack, run: Run) -> None:
    seller.address_of_itself = False
    assert run("machine-create", request_for(seller))["public_ip"] == "198.51.100.7"
    assert seller.log.count(("POST", f"{MACHINES}/7/attach-floatingip")) == 1


def test_a_machine_that_a_former_run_left_in_another_size_is_replaced(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    assert run("machine-create", request_for(seller, machine_type="n3-H100x4"))["id"] == "8"
    assert [machine["flavor"]["name"] for machine in seller.machines.values()] == ["n3-H100x4"]


def test_a_machine_of_somebody_else_under_the_name_is_left_alone(seller: Hyperstack, run: Run) -> None:
    seller.add("gpu-a", "tailspan-of-another-stack")
    said = run.fails("machine-create", request_for(seller))
    assert "has a machine of this name, 7 (ACTIVE), without this machine's label" in said
    assert run("machine-delete", request_for(seller)) == {"deleted": []}
    assert "WARNING: 7 in Hyperstack environment" in run.err
    assert (seller.orders(), list(seller.machines)) == (0, [7])


def test_names_that_only_contain_it_and_other_environments_are_not_it(seller: Hyperstack, run: Run) -> None:
    seller.environments.append(f"{ENVIRONMENT}-2")
    seller.add("gpu-a-2", TAG)
    seller.add("gpu-a", TAG, environment=f"{ENVIRONMENT}-2")
    assert run("machine-create", request_for(seller))["id"] == "9"
    run("machine-delete", request_for(seller))
    assert list(seller.machines) == [7, 8]


def test_every_page_of_the_list_is_read(seller: Hyperstack, run: Run) -> None:
    seller.page_limit = 3
    for number in range(7):
        seller.add(f"gpu-a-{number}")
    seller.add("gpu-a", TAG)
    assert run("machine-create", request_for(seller))["id"] == "14"
    assert seller.orders() == 0


@pytest.mark.parametrize("body", ["<html>", {"status": True}, {"instances": [1]}], ids=str)
def test_a_list_that_cannot_be_read_orders_nothing(seller: Hyperstack, run: Run, body: Any) -> None:
    seller.fault = lambda method, path, sent: Answer(200, body) if path == MACHINES else None
    run.fails("machine-create", request_for(seller))
    run.fails("machine-delete", request_for(seller))
    assert seller.orders() == 0


def test_an_update_opens_and_closes_and_touches_no_machine(seller: Hyperstack, run: Run) -> None:
    created = run("machine-create", request_for(seller))
    seller.machines[7]["security_rules"].append(
        {
            "id": 1,
            "direction": "ingress",
            "ethertype": "IPv6",
            "protocol": "tcp",
            "remote_ip_prefix": "::/0",
            "port_range_min": 22,
            "port_range_max": 22,
        }
    )
    seller.machines[7]["security_rules"].append(
        {
            "id": 2,
            "direction": "egress",
            "ethertype": "IPv4",
            "protocol": "any",
            "remote_ip_prefix": "0.0.0.0/0",
        }
    )
    moved = SSH | {"source": "192.0.2.0/28"}
    assert run("machine-update", request_for(seller, openings=[moved, WIREGUARD])) == created
    rules = [(rule["direction"], rule["remote_ip_prefix"]) for rule in seller.machines[7]["security_rules"]]
    assert sorted(rules) == [("egress", "0.0.0.0/0"), ("ingress", "0.0.0.0/0"), ("ingress", "192.0.2.0/28")]
    assert seller.orders() == 1


def test_an_update_that_changes_nothing_writes_nothing(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    del seller.log[:]
    run("machine-update", request_for(seller))
    assert {method for method, _ in seller.log} == {"GET"}


def test_a_machine_deleted_behind_our_back_is_told_and_can_be_deleted(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    seller.machines.clear()
    assert "somebody deleted it there; raise its `generation`" in run.fails(
        "machine-update", request_for(seller)
    )
    assert run("machine-delete", request_for(seller)) == {"deleted": []}


def test_an_update_does_not_choose_among_machines_that_carry_one_label(seller: Hyperstack, run: Run) -> None:
    seller.add("gpu-a", TAG)
    seller.add("gpu-a", TAG)
    assert "2 machines carry its label" in run.fails("machine-update", request_for(seller))
    assert list(seller.machines) == [7, 8]


def test_a_deleted_machine_that_is_still_listed_is_none(seller: Hyperstack, run: Run) -> None:
    seller.add("gpu-a", "tailspan-of-another-generation", status="DELETED")
    assert run("machine-create", request_for(seller))["id"] == "8"


@pytest.mark.parametrize("broken", [f"{KEY}\r", f"{KEY}\n", f"{KEY[:4]}\n{KEY[4:]}"])
def test_a_key_with_a_line_break_is_refused_and_not_shown(seller: Hyperstack, run: Run, broken: str) -> None:
    said = run.fails("machine-create", request_for(seller, api_key=broken))
    assert "header api_key holds a line break" in said
    assert seller.orders() == 0


@pytest.mark.parametrize("state", ["SHUTOFF", "HIBERNATED", "ERROR"])
def test_an_update_tells_a_machine_that_does_not_run_and_keeps_it(
    seller: Hyperstack, run: Run, state: str
) -> None:
    seller.add("gpu-a", TAG, status=state)
    assert f"is {state}" in run.fails("machine-update", request_for(seller))
    assert list(seller.machines) == [7]


def test_deleting_waits_until_it_is_gone_and_twice_is_fine(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    assert run("machine-delete", request_for(seller)) == {"deleted": ["7"]}
    assert seller.machines == {}
    assert run("machine-delete", request_for(seller)) == {"deleted": []}


def test_a_delete_whose_answer_is_lost_is_sent_again(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    cut = [CUT_AFTER]
    seller.fault = lambda method, path, body: cut.pop() if method == "DELETE" and cut else None
    assert run("machine-delete", request_for(seller)) == {"deleted": ["7"]}
    assert seller.machines == {}


def test_a_machine_that_does_not_go_is_told(seller: Hyperstack, run: Run) -> None:
    run("machine-create", request_for(seller))
    seller.looks_until_gone = 10**6
    said = run.fails("machine-delete", request_for(seller, timeout=2))
    assert "7 not gone from Hyperstack environment default-CANADA-1" in said
    assert "last seen: DELETING. It may still be billed" in said


def test_a_key_that_does_not_see_the_environment_cannot_say_that_a_machine_is_gone(
    seller: Hyperstack, run: Run
) -> None:
    seller.environments = ["another-organisations"]
    said = run.fails("machine-delete", request_for(seller))
    assert "this key does not see it, so nobody can say whether the machine is gone" in said


def test_a_revoked_key_is_told_and_replaced_by_the_one_in_the_environment(
    seller: Hyperstack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("machine-create", request_for(seller))
    stored = request_for(seller, api_key="revoked-a-year-ago")
    said = run.fails("machine-delete", stored)
    assert "HTTP 401" in said
    assert "TAILSPAN_HYPERSTACK_API_KEY" in said
    monkeypatch.setenv("TAILSPAN_HYPERSTACK_API_KEY", KEY)
    assert run("machine-delete", stored) == {"deleted": ["7"]}


def test_a_key_in_the_environment_does_not_replace_one_that_works(
    seller: Hyperstack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILSPAN_HYPERSTACK_API_KEY", "of-another-organisation")
    assert run("machine-create", request_for(seller))["id"] == "7"


def test_a_delete_needs_only_what_the_first_release_stored(seller: Hyperstack, run: Run) -> None:
    seller.add("gpu-a", TAG)
    stored = {
        "seller": "hyperstack",
        "api": seller.url,
        "api_key": KEY,
        "place": {"environment": ENVIRONMENT},
        "machine": {"name": "gpu-a", "tag": TAG},
        "a key of a later release": True,
    }
    assert run("machine-delete", stored) == {"deleted": ["7"]}


def test_an_unknown_seller_is_named(seller: Hyperstack, run: Run) -> None:
    said = run.fails("machine-create", request_for(seller) | {"seller": "moonbase"})
    assert "got 'moonbase'; write one of hyperstack" in said
