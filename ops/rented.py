"""A rented machine's life: ordered once, waited for, kept as stated, given back. The same for every seller.

Nothing is remembered between two runs. A machine is found by its name and by a tag that only one machine of one stack
in one generation has, so a run that died between the order and its record finds what it ordered, and a delete needs no
id. What carries the name without the tag is somebody else's and is never touched.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from ops.errors import OpsError
from ops.http import Json
from ops.patient import Unclear
from ops.wait import STOPPED, Deadline

State = Literal["coming", "running", "stopped", "failed", "going"]

# Seconds between two looks at a machine. Sellers allow some hundred requests a minute, for all machines together.
POLL = 5.0
# How long a machine may run before it is helped to what it lacks.
GRACE = 60.0
# How long an order without an answer may take to show up in the list, and how many orders are tried then.
LOOK, ORDERS = 30.0, 3


class Opening(NamedTuple):
    """Who may use a port from outside."""

    protocol: str
    port: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The machine that a request describes; `user_data` is a secret."""

    name: str
    tag: str
    machine_type: str
    user_data: str
    openings: frozenset[Opening]


@dataclass(frozen=True, kw_only=True)
class Rented:
    """A machine as its seller describes it; `said` is the seller's own word for its state."""

    id: str
    name: str
    tags: frozenset[str]
    state: State
    said: str
    machine_type: str | None  # None where the seller does not say
    public_ip: str | None
    private_ip: str | None

    @property
    def ready(self) -> bool:
        return self.state == "running" and bool(self.public_ip)

    def __str__(self) -> str:
        return f"{self.said}, {f'address {self.public_ip}' if self.public_ip else 'no public address yet'}"


class Seller(Protocol):
    """
    What a seller's module offers. Each call may raise OpsError; `order` raises Unclear where it cannot tell whether the
    machine was ordered.
    """

    place: str  # in words, for messages

    def named(self, name: str) -> list[Rented]:
        """Every machine of that exact name in the place, the oldest first."""

    def order(self, wanted: Wanted) -> Rented:
        """Orders the machine with its tag, its openings and a public address."""

    def read(self, machine: Rented) -> Rented | None:
        """The machine as it is now; None if it is gone."""

    def nudge(self, machine: Rented) -> None:
        """Asks for what a running machine lacks, such as its public address."""

    def open_exactly(self, machine: Rented, openings: frozenset[Opening]) -> None:
        """Lets in what is listed, from outside, and nothing else."""

    def remove(self, machine: Rented) -> None:
        """Begins to delete it; one that is gone already is fine."""

    def confirm_place(self) -> None:
        """Fails if this key does not see the place: then a list without the machine says nothing."""


def create(seller: Seller, wanted: Wanted, deadline: Deadline) -> Json:
    """The machine, ordered unless it is there already, running and with its address."""
    what = f"machine {wanted.name} ({wanted.machine_type})"
    found = _ours(seller, wanted, what)
    useless = [machine for machine in found if not _serves(machine, wanted)]
    for former in useless:
        _say(
            f"{what}: {former.id} of a former run is {former.said}, {former.machine_type}; it has to go first"
        )
        _remove(seller, former, what, deadline)
    found = [machine for machine in found if machine not in useless]
    if found:
        machine = found[0]
        _say(f"{what}: found as {machine.id}, {machine}; nothing is ordered")
    else:
        machine = _order(seller, wanted, what, deadline)
    machine = _until_running(seller, machine, what, deadline)
    # Also of an order that an interrupted run left unanswered, and that was listed only now.
    if len(found) != 1:
        _without_twins(seller, machine, wanted, what, deadline)
    seller.open_exactly(machine, wanted.openings)
    return _shape(machine)


def update(seller: Seller, wanted: Wanted, deadline: Deadline) -> Json:
    """Its openings as stated now. The machine itself is only looked at: another one needs another generation."""
    what = f"machine {wanted.name}"
    found = _ours(seller, wanted, what)
    if not found:
        seller.confirm_place()
        raise OpsError(
            f"{what}: is not in {seller.place} any more, somebody deleted it there; raise its `generation` to get "
            "another one, or take it out of the stack file"
        )
    if len(found) > 1:
        raise OpsError(
            f"{what}: {len(found)} machines carry its label in {seller.place}: "
            f"{', '.join(f'{one.id} ({one})' for one in found)}; delete the ones whose address is not the login of "
            "this machine in the stack"
        )
    machine = found[0]
    if machine.state == "coming":
        machine = _until_running(seller, machine, what, deadline)
    if not machine.ready:
        raise OpsError(
            f"{what}: {machine.id} in {seller.place} is {machine}; mend it at the seller, or raise its `generation` "
            "to get another one"
        )
    seller.open_exactly(machine, wanted.openings)
    return _shape(machine)


def delete(seller: Seller, name: str, tag: str, deadline: Deadline) -> Json:
    """Gone, with any twin; nothing there is fine, if that can be known."""
    what = f"machine {name}"
    named = seller.named(name)
    found = [machine for machine in named if tag in machine.tags]
    for other in () if found else named:
        _say(
            f"{what}: WARNING: {other.id} in {seller.place} has this name without the label {tag}; it is left alone: "
            "look whether it is billed for nothing"
        )
    if not found:
        seller.confirm_place()
        _say(f"{what}: not in {seller.place}, nothing to delete")
    for machine in found:
        _remove(seller, machine, what, deadline)
    return {"deleted": [machine.id for machine in found]}


def _ours(seller: Seller, wanted: Wanted, what: str) -> list[Rented]:
    named = seller.named(wanted.name)
    ours = [machine for machine in named if wanted.tag in machine.tags]
    if named and not ours:
        other = named[0]
        raise OpsError(
            f"{what}: {seller.place} has a machine of this name, {other.id} ({other.said}), without this machine's "
            f"label {wanted.tag}: it is another stack's, another generation's, or made by hand. It is left alone; "
            "write another name, or delete it at the seller"
        )
    return ours


def _serves(machine: Rented, wanted: Wanted) -> bool:
    """Whether a machine that a former run left, and nobody uses yet, is the wanted one."""
    same = machine.machine_type in (None, wanted.machine_type)
    return same and machine.state not in ("failed", "going")


def _order(seller: Seller, wanted: Wanted, what: str, deadline: Deadline) -> Rented:
    """The machine; after an answer that was not clear it may have been ordered more than once."""
    for attempt in range(ORDERS):
        try:
            machine = seller.order(wanted)
            _say(f"{what}: ordered as {machine.id}")
            return machine
        except Unclear as error:
            _say(f"{what}: no clear answer to the order ({error}); looking for it by its name")
            last = error
        except OpsError:
            # The name may be taken by what an earlier try did order.
            found = _ours(seller, wanted, what) if attempt else []
            if not found:
                raise
            return found[0]
        if came := _look(seller, wanted, what, deadline):
            _say(f"{what}: was ordered as {came.id} all the same")
            return came
        if deadline.expired:
            break
    raise OpsError(
        f"{what}: ordered in {seller.place} without a clear answer, and no machine of this name came; last: {last}. "
        "Run `pulumi up` again: a machine that comes late is found by its label"
    )


def _look(seller: Seller, wanted: Wanted, what: str, deadline: Deadline) -> Rented | None:
    looking = Deadline(min(LOOK, max(0.0, deadline.seconds - deadline.passed)))
    while True:
        if found := _ours(seller, wanted, what):
            return found[0]
        if looking.expired:
            return None
        STOPPED.wait(min(POLL, looking.seconds))


def _until_running(seller: Seller, machine: Rented, what: str, deadline: Deadline) -> Rented:
    seen, running = "", None
    while not machine.ready:
        if str(machine) != seen:
            seen = str(machine)
            _say(f"{what}: {machine.id} is {seen}")
        if machine.state == "failed":
            _give_up(seller, machine, what)
        if machine.state in ("stopped", "going"):
            raise OpsError(
                f"{what}: {machine.id} in {seller.place} is {machine.said}; start it at the seller, or delete it there"
            )
        if deadline.expired:
            raise OpsError(
                f"{what}: not running within {deadline.seconds:.0f} s; last seen: {machine}. It exists as "
                f"{machine.id} in {seller.place} and is billed: run `pulumi up` again, which goes on with it, or "
                "delete it at the seller"
            )
        if machine.state == "running":
            running = running or Deadline(GRACE)
            if running.expired:
                seller.nudge(machine)
        STOPPED.wait(POLL)
        now = seller.read(machine)
        if now is None:
            raise OpsError(f"{what}: {machine.id} vanished from {seller.place} while it was {machine.said}")
        machine = now
    return machine


def _give_up(seller: Seller, machine: Rented, what: str) -> None:
    """A machine that failed on its way up serves nobody, and may be billed."""
    try:
        seller.remove(machine)
        rest = "It is being deleted"
    except OpsError as error:
        rest = f"It could not be deleted ({error}), so delete {machine.id} at the seller"
    raise OpsError(
        f"{what}: {machine.id} in {seller.place} came to {machine.said}, for the most part because nothing of that "
        f"size is free there. {rest}; try again later, or write another machine_type or place"
    )


def _without_twins(seller: Seller, kept: Rented, wanted: Wanted, what: str, deadline: Deadline) -> None:
    for machine in _ours(seller, wanted, what):
        if machine.id != kept.id:
            _say(
                f"{what}: {machine.id} is a twin of {kept.id}, from an order that got no answer; removing it"
            )
            _remove(seller, machine, what, deadline)


def _remove(seller: Seller, machine: Rented, what: str, deadline: Deadline) -> None:
    seller.remove(machine)
    now = seller.read(machine)
    while now is not None:
        if deadline.expired:
            raise OpsError(
                f"{what}: {machine.id} not gone from {seller.place} within {deadline.seconds:.0f} s; last seen: "
                f"{now.said}. It may still be billed: look at the seller, then run the same again"
            )
        STOPPED.wait(POLL)
        now = seller.read(machine)


def _shape(machine: Rented) -> Json:
    # The same text for the same machine: Pulumi compares it.
    return {"id": machine.id, "public_ip": machine.public_ip, "private_ip": machine.private_ip}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
