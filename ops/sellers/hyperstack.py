"""Hyperstack's API (https://docs.hyperstack.cloud/docs/api-reference; the models of PyPI's `hyperstack` 1.56.1a0).

It has no idempotency keys, so ops.rented looks by name and label. 500 requests a minute from one address; Retry-After
is not documented, and honoured where it comes. A private address cannot be asked for: the API hands it out.
"""

from __future__ import annotations

import ssl
import sys
from functools import partial
from typing import Any

from ops.errors import HttpError, OpsError
from ops.http import Json, JsonClient
from ops.patient import PatientClient, Unclear
from ops.rented import Opening, Rented, State, Wanted
from ops.request import field
from ops.wait import Deadline

API = "https://infrahub-api.nexgencloud.com/v1"
SPARE_KEY = "TAILSPAN_HYPERSTACK_API_KEY"
MACHINES = "/core/virtual-machines"
PAGE, MOST_PAGES = 100, 50
# What the API says while a machine is on its way, and what it does not come back from by waiting.
STATES: dict[str, State] = {
    "ACTIVE": "running",
    "ERROR": "failed",
    "SHUTOFF": "stopped",
    "HIBERNATED": "stopped",
    "DELETING": "going",
    "DELETED": "going",
}
# Words of refusals, and what to do; the first that fits.
REMEDIES = (
    (("balance", "credit", "payment"), "the account has too little credit: top it up at the seller"),
    (("quota", "limit"), "a quota is used up: ask the seller for more, or rent fewer machines"),
    (
        ("stock", "not enough", "insufficient", "capacity", "unavailable", "no available", "sold out"),
        "nothing of that size is free there: write another machine_type or environment, or try again later (GET "
        "/core/stocks lists what is free)",
    ),
    (("flavor",), "write machine_type: a flavor of the environment's region (GET /core/flavors)"),
    (("image",), "write provider.image: an image of the environment's region (GET /core/images)"),
    (("key",), "write provider.key_name: a key pair of the environment (GET /core/keypairs)"),
    (("environment",), "write provider.environment: one that GET /core/environments lists"),
)


def hyperstack(request: Json, deadline: Deadline) -> Hyperstack:
    """The seller, as a request describes it."""
    place = field(request, "place", dict)
    key, base = field(request, "api_key", str), field(request, "api", str, API)
    connect = partial(_connect, base)
    return Hyperstack(
        PatientClient(connect, key, deadline, spare=SPARE_KEY),
        environment=field(place, "environment", str, path="place."),
        image=field(place, "image", str, "", path="place."),
        key_name=field(place, "key_name", str, "", path="place."),
    )


def _connect(base: str, key: str) -> JsonClient:
    # An order may take its time; giving up on it costs a search by name.
    return JsonClient(base, ssl.create_default_context(), {"api_key": key}, timeout=60)


class Hyperstack:
    """The machines of one environment; an environment lies in one region."""

    def __init__(self, api: PatientClient, *, environment: str, image: str, key_name: str) -> None:
        self._api = api
        self._environment, self._image, self._key_name = environment, image, key_name
        self.place = f"Hyperstack environment {environment}"

    def named(self, name: str) -> list[Rented]:
        query = {"search": name, "environment": self._environment, "exact_environment_match": "true"}
        listed = self._pages(MACHINES, "instances", query)
        # `search` and `environment` match parts of names too.
        exact = [
            item
            for item in listed
            if item.get("name") == name and item.get("status") != "DELETED" and self._here(item)
        ]
        return sorted((_rented(item) for item in exact), key=lambda machine: int(machine.id))

    def order(self, wanted: Wanted) -> Rented:
        body: Json = {
            "name": wanted.name,
            "environment_name": self._environment,
            "image_name": self._image,
            "flavor_name": wanted.machine_type,
            "key_name": self._key_name,
            "count": 1,
            "labels": [wanted.tag],
            "user_data": wanted.user_data,
            "assign_floating_ip": True,
            # True by default, and then the public address answers at other ports than the machine's own.
            "enable_port_randomization": False,
            "create_bootable_volume": False,
            "security_rules": [_rule(opening) for opening in sorted(wanted.openings)],
        }
        try:
            answer = self._api.order(MACHINES, body)
        except HttpError as error:
            raise OpsError(self._refused(wanted, error)) from error
        if answer.get("status") is False:
            raise OpsError(self._refused(wanted, OpsError(str(answer.get("message")))))
        items = answer.get("instances")
        if not isinstance(items, list) or len(items) != 1:
            raise Unclear(f"POST {MACHINES}: answered without the one machine under `instances`")
        try:
            return _rented(items[0])
        except OpsError as error:
            raise Unclear(str(error)) from error

    def read(self, machine: Rented) -> Rented | None:
        try:
            answer = self._api.get(f"{MACHINES}/{machine.id}")
        except HttpError as error:
            if error.status == 404:
                return None
            raise
        found = _rented(answer.get("instance"))
        return None if found.said == "DELETED" else found

    def nudge(self, machine: Rented) -> None:
        """A machine that runs without an address, and without one on its way, asks for it; twice does no harm."""
        answer = self._api.get(f"{MACHINES}/{machine.id}")
        instance = answer.get("instance") or {}
        if instance.get("floating_ip") or instance.get("floating_ip_status") == "ATTACHING":
            return
        try:
            self._api.change("POST", f"{MACHINES}/{machine.id}/attach-floatingip")
        except HttpError as error:
            if error.status not in (400, 409):
                raise OpsError(f"machine {machine.name}: a public address was refused: {error}") from error

    def open_exactly(self, machine: Rented, openings: frozenset[Opening]) -> None:
        instance = self._api.get(f"{MACHINES}/{machine.id}").get("instance") or {}
        rules = [rule for rule in instance.get("security_rules") or [] if rule.get("direction") == "ingress"]
        for rule in rules:
            if _opening(rule) not in openings:
                self._close(machine, rule)
        there = {_opening(rule) for rule in rules}
        for opening in sorted(openings - there):
            self._api.change("POST", f"{MACHINES}/{machine.id}/sg-rules", _rule(opening))

    def _close(self, machine: Rented, rule: Json) -> None:
        try:
            self._api.change("DELETE", f"{MACHINES}/{machine.id}/sg-rules/{rule.get('id')}")
        except HttpError as error:
            if error.status != 404:
                raise

    def remove(self, machine: Rented) -> None:
        try:
            self._api.change("DELETE", f"{MACHINES}/{machine.id}")
        except HttpError as error:
            # Refused while an earlier delete is at work; whether it is gone is read afterwards.
            if error.status not in (400, 404, 409):
                raise
            print(
                f"machine {machine.name}: the delete was answered with: {error}", file=sys.stderr, flush=True
            )

    def confirm_place(self) -> None:
        listed = self._pages("/core/environments", "environments", {"search": self._environment})
        if not any(item.get("name") == self._environment for item in listed):
            raise OpsError(
                f"{self.place}: this key does not see it, so nobody can say whether the machine is gone: the key may "
                f"be another organisation's. Set {SPARE_KEY} to one that sees it; if the environment was deleted "
                "with all in it, take the machine out of the state with `pulumi state delete`"
            )

    def _here(self, item: Json) -> bool:
        return (item.get("environment") or {}).get("name") == self._environment

    def _pages(self, path: str, key: str, query: dict[str, str]) -> list[Json]:
        found: dict[Any, Json] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = self._api.get(path, query | {"page": str(page), "pageSize": str(PAGE)})
            items = answer.get(key)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise OpsError(f"GET {path}: answered without the list `{key}`, so nothing is known")
            new = {item.get("id"): item for item in items}
            done = not new.keys() - found.keys()
            found |= new
            if done or len(found) >= int(answer.get("count") or 0):
                return list(found.values())
        raise OpsError(
            f"GET {path}: more than {MOST_PAGES} pages of {PAGE}; write a more telling machine name"
        )

    def _refused(self, wanted: Wanted, error: OpsError) -> str:
        text = str(error)
        said = text.split(": HTTP ", 1)[-1].lower()
        remedy = next(
            (remedy for words, remedy in REMEDIES if any(word in said for word in words)),
            "mend what it says, then run `pulumi up` again",
        )
        if isinstance(error, HttpError) and error.status == 403:
            remedy = (
                "the key may not do this; after giving its user the right, or with another key (pulumi config set "
                "--secret tailspan:hyperstackApiKey), run `pulumi up` again"
            )
        return (
            f"machine {wanted.name}: {self.place} refused flavor {wanted.machine_type}: {text}. Nothing was ordered; "
            f"{remedy}"
        )


def _rule(opening: Opening) -> Json:
    return {
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": opening.protocol,
        "remote_ip_prefix": opening.source,
        "port_range_min": opening.port,
        "port_range_max": opening.port,
    }


def _opening(rule: Json) -> Opening | None:
    """None for a rule that no opening of ours is like: a range of ports, another protocol, IPv6."""
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    if not isinstance(low, int) or low != high or rule.get("ethertype") != "IPv4":
        return None
    return Opening(str(rule.get("protocol")), low, str(rule.get("remote_ip_prefix")))


def _rented(item: object) -> Rented:
    if not isinstance(item, dict) or not isinstance(item.get("id"), int):
        raise OpsError(f"{MACHINES}: answered with a machine that has no id, so nothing is known of it")
    said = str(item.get("status") or "no state")
    return Rented(
        id=str(item["id"]),
        name=str(item.get("name")),
        tags=frozenset(str(label) for label in item.get("labels") or []),
        state=STATES.get(said, "coming"),
        said=said,
        machine_type=(item.get("flavor") or {}).get("name"),
        public_ip=item.get("floating_ip") or None,
        private_ip=item.get("fixed_ip") or None,
    )
