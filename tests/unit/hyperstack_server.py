"""
Hyperstack's API on loopback, as its documentation describes it (https://docs.hyperstack.cloud/docs/api-reference, and
the models of the generated SDK `hyperstack` 1.56.1a0 on PyPI): envelopes, pages, the states of a machine on its way,
asynchronous deletes. It refuses what the real one has no name for. A test injects faults through `fault`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

KEY = "hyperstack-key-of-the-operator"
ENVIRONMENT = "default-CANADA-1"
MACHINES = "/v1/core/virtual-machines"
# What may stand in an order (CreateInstancesPayload), and what must.
ORDER_KEYS = {
    "assign_floating_ip": bool,
    "callback_url": str,
    "count": int,
    "create_bootable_volume": bool,
    "enable_port_randomization": bool,
    "environment_name": str,
    "flavor_name": str,
    "image_name": str,
    "key_name": str,
    "labels": list,
    "name": str,
    "security_rules": list,
    "user_data": str,
    "volume_name": str,
}
REQUIRED = {"count", "environment_name", "flavor_name", "key_name", "name"}
RULE_KEYS = {"direction", "ethertype", "protocol", "remote_ip_prefix", "port_range_min", "port_range_max"}


@dataclass
class Answer:
    """An answer in place of the server's own, before or after it does its work; without a status, a cut connection."""

    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    when: Literal["before", "after"] = "before"


Fault = Callable[[str, str, Json | None], Answer | None]


def refusal(status: int, message: str, **headers: str) -> Answer:
    return Answer(
        status, {"status": False, "message": message, "error_reason": "bad_request"}, headers=headers
    )


CUT = Answer()
CUT_AFTER = Answer(when="after")


class Hyperstack:
    """`machines` is all that the account has; `log` every (method, path); `bodies` what was sent."""

    def __init__(self) -> None:
        self.machines: dict[int, Json] = {}
        self.environments = [ENVIRONMENT]
        self.log: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.keys = {KEY}
        self.fault: Fault | None = None
        # What a machine is at each look, the last one for good.
        self.states = ["CREATING", "BUILD", "ACTIVE"]
        self.looks_until_gone = 2
        self.address_of_itself = True
        self.page_limit = 100
        self.lock = threading.RLock()
        self.port = 0
        self._next = 7

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def orders(self) -> int:
        return self.log.count(("POST", MACHINES))

    def add(self, name: str, *labels: str, status: str = "ACTIVE", environment: str = ENVIRONMENT) -> int:
        """A machine that is there already."""
        with self.lock:
            number = self._next
            self._next += 1
            self.machines[number] = {
                "id": number,
                "name": name,
                "labels": list(labels),
                "environment": {"name": environment},
                "status": status,
                "fixed_ip": f"10.0.7.{number}",
                "floating_ip": f"198.51.100.{number}" if status == "ACTIVE" else None,
                "floating_ip_status": "ATTACHED" if status == "ACTIVE" else None,
                "security_rules": [],
                "_looks": len(self.states),
                "_going": None,
            }
            return number

    def answer(self, method: str, target: str, body: Json | None) -> tuple[int, Json]:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == MACHINES:
            return self._list(query) if method == "GET" else self._order(body or {})
        if url.path == "/v1/core/environments" and method == "GET":
            found = [{"id": 1, "name": name} for name in self.environments if query.get("search", "") in name]
            return self._page(found, "environments", query)
        if match := re.fullmatch(rf"{MACHINES}/(\d+)(/.*)?", url.path):
            machine = self.machines.get(int(match[1]))
            if machine is None:
                return 404, _error("not_found", "Virtual machine not found")
            return self._one(method, machine, match[2] or "", body or {})
        return 404, _error("not_found", f"no such path: {method} {url.path}")

    def _list(self, query: dict[str, str]) -> tuple[int, Json]:
        assert query.keys() <= {"page", "pageSize", "search", "environment", "exact_environment_match"}
        found = [
            _shown(machine)
            for machine in self.machines.values()
            if query.get("search", "") in machine["name"]
            and query.get("environment", "") in machine["environment"]["name"]
        ]
        return self._page(found, "instances", query)

    def _page(self, items: list[Json], key: str, query: dict[str, str]) -> tuple[int, Json]:
        page, size = int(query.get("page", 1)), min(int(query.get("pageSize", 10)), self.page_limit)
        part = items[(page - 1) * size : page * size]
        envelope = {"status": True, "message": "ok", "count": len(items), "page": page, "page_size": size}
        return 200, envelope | {key: part}

    def _order(self, body: Json) -> tuple[int, Json]:
        wrong = [key for key, value in body.items() if not isinstance(value, ORDER_KEYS.get(key, ()))]
        wrong += sorted(REQUIRED - body.keys())
        wrong += ["security_rules" for rule in body.get("security_rules", []) if set(rule) - RULE_KEYS]
        if wrong or len(body["name"]) > 50 or body["count"] != 1:
            return 400, _error("bad_request", f"Validation error: {', '.join(wrong)}")
        if body["environment_name"] not in self.environments:
            return 404, _error("not_found", "Environment not found")
        number = self.add(body["name"], *body["labels"], status=self.states[0])
        rules = [{"id": 900 + i, **rule} for i, rule in enumerate(body["security_rules"])]
        self.machines[number] |= {
            "flavor": {"name": body["flavor_name"]},
            "security_rules": rules,
            "_looks": 0,
            "_asked": body["assign_floating_ip"],
        }
        return 200, {
            "status": True,
            "message": "created",
            "instances": [_shown(self.machines[number])],
        }

    def _one(self, method: str, machine: Json, rest: str, body: Json) -> tuple[int, Json]:
        if method == "GET" and rest == "":
            if not self._look(machine):
                return 404, _error("not_found", "Virtual machine not found")
            return 200, {"status": True, "message": "ok", "instance": _shown(machine)}
        if method == "DELETE" and rest == "":
            if machine["_going"] is not None:
                return 409, _error("conflict", "Virtual machine is being deleted")
            machine |= {"_going": self.looks_until_gone, "status": "DELETING"}
        elif method == "POST" and rest == "/attach-floatingip":
            machine |= {"_asked": True, "floating_ip_status": "ATTACHING"}
        elif method == "POST" and rest == "/sg-rules" and set(body) <= RULE_KEYS:
            machine["security_rules"].append({"id": 950 + len(machine["security_rules"]), **body})
        elif method == "DELETE" and rest.startswith("/sg-rules/"):
            number = int(rest.rsplit("/", 1)[1])
            kept = [rule for rule in machine["security_rules"] if rule["id"] != number]
            machine["security_rules"] = kept
        else:
            return 405, _error("method_not_allowed", f"{method} {rest}")
        return 200, {"status": True, "message": "ok"}

    def _look(self, machine: Json) -> bool:
        """One look further: states go on, addresses come after the machine runs, deletes end."""
        if machine["_going"] is not None:
            machine["_going"] -= 1
            if machine["_going"] <= 0:
                del self.machines[machine["id"]]
                return False
            return True
        if machine["_looks"] < len(self.states):
            machine["status"] = self.states[machine["_looks"]]
            machine["_looks"] += 1
        elif machine["status"] == "ACTIVE" and not machine["floating_ip"]:
            if machine["floating_ip_status"] == "ATTACHING":
                machine |= {"floating_ip": f"198.51.100.{machine['id']}", "floating_ip_status": "ATTACHED"}
            elif machine["_asked"] and self.address_of_itself:
                machine["floating_ip_status"] = "ATTACHING"
        return True


def _shown(machine: Json) -> Json:
    return {key: value for key, value in machine.items() if not key.startswith("_")}


def _error(reason: str, message: str) -> Json:
    return {"status": False, "message": message, "error_reason": reason}


@contextmanager
def selling() -> Iterator[Hyperstack]:
    seller = Hyperstack()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            path = self.path.split("?")[0]
            with seller.lock:
                seller.log.append((self.command, path))
                if body is not None:
                    seller.bodies.append(body)
            # Outside the lock: a fault may wait.
            fault = seller.fault(self.command, path, body) if seller.fault else None
            if fault is None or fault.when == "after":
                with seller.lock:
                    status, answer = self._work(body)
                fault = fault or Answer(status, answer)
            if fault.status is None:
                self.close_connection = True
                return
            self._send(fault)

        def _work(self, body: Json | None) -> tuple[int, Json]:
            if self.headers.get("api_key") not in seller.keys:
                return 401, _error("unauthorized", "API key is invalid")
            return seller.answer(self.command, self.path, body)

        def _send(self, answer: Answer) -> None:
            text = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            self.send_response(answer.status or 500)
            for name, value in {"Content-Length": str(len(text)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = do_PUT = respond

        def log_message(self, *args: Any) -> None:
            return

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.block_on_close = False
    seller.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield seller
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
