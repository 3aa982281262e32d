"""What the lab knows about itself: one JSON file, one lock, and the numbers handed out from it.

Records are written before the thing they describe is made, so that whatever exists after a crash is known.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab import addresses
from lab.shell import LabError
from lab.specs import MachineInfo, MachineSpec, NetworkSpec, Rule, Target
from tools import paths

_LOCK_TIMEOUT = 120.0


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NetworkRecord(_Record):
    spec: NetworkSpec
    public_ip: IPv4Address
    ready: bool = False
    firewalls: dict[Target, tuple[Rule, ...]] = {}


class MachineRecord(_Record):
    spec: MachineSpec
    public_ip: IPv4Address | None
    # Where the operator connects: the machine's public address, or its router and a forwarded port.
    ssh_host: IPv4Address
    ssh_port: int
    # Empty until the machine has answered once.
    host_key: str = ""
    powered: bool = True

    def info(self) -> MachineInfo:
        return MachineInfo(
            name=self.spec.name,
            network=self.spec.network,
            role=self.spec.role,
            node_ip=self.spec.node_ip,
            public_ip=str(self.public_ip or ""),
            ssh_host=str(self.ssh_host),
            ssh_port=self.ssh_port,
            host_key=self.host_key,
            running=self.powered,
        )


class Records(_Record):
    # Kernel objects do not outlive the host's boot; records do.
    boot_id: str = Field(default_factory=lambda: boot_id())
    inotify_instances_before: int | None = None
    last_public_ip: IPv4Address | None = None
    networks: dict[str, NetworkRecord] = {}
    machines: dict[str, MachineRecord] = {}

    def machines_of(self, network: str) -> list[MachineRecord]:
        return sorted(
            (m for m in self.machines.values() if m.spec.network == network), key=lambda m: m.spec.node_ip
        )

    def network(self, name: str) -> NetworkRecord:
        if name not in self.networks:
            raise LabError(f"network {name}: not in the lab, which has {_listed(self.networks)}")
        return self.networks[name]

    def machine(self, name: str) -> MachineRecord:
        if name not in self.machines:
            raise LabError(f"machine {name}: not in the lab, which has {_listed(self.machines)}")
        return self.machines[name]

    def hand_out_public_ip(self) -> IPv4Address:
        """The next free address after the last one: neighbours may still remember who had a freed one."""
        used = {n.public_ip for n in self.networks.values()} | {m.public_ip for m in self.machines.values()}
        pool = addresses.HANDED_OUT
        start = pool.index(self.last_public_ip) + 1 if self.last_public_ip else 0
        for ip in pool[start:] + pool[:start]:
            if ip not in used:
                self.last_public_ip = ip
                return ip
        raise LabError(
            f"all {len(pool)} public addresses of {addresses.PUBLIC} are in use: remove machines or networks"
        )

    def free_ssh_port(self, network: str) -> int:
        used = {m.ssh_port for m in self.machines_of(network)}
        return next(port for port in range(addresses.FIRST_SSH_PORT, 65536) if port not in used)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _file() -> Path:
    return paths.lab_dir() / "records.json"


def lock_file() -> Path:
    # Outside the lab's folder, which `down` removes while it holds the lock.
    return paths.home() / "locks" / "lab"


def read() -> Records:
    """The records as they are now; nothing is locked, because the file is replaced as a whole."""
    try:
        records = Records.model_validate_json(_file().read_bytes())
    except FileNotFoundError:
        return Records()
    except ValidationError as error:
        raise LabError(
            f"{_file()}: not this version's records ({error.error_count()} problems): run `make down`"
        ) from None
    if records.boot_id != boot_id():
        raise LabError(
            f"{_file()}: written before this host's last boot, the lab is gone since: run `make down`"
        )
    return records


def read_or_empty() -> Records:
    """For `down`, which must work whatever state the file is in."""
    try:
        return Records.model_validate_json(_file().read_bytes())
    except (OSError, ValidationError):
        return Records()


@contextmanager
def edit() -> Iterator[Records]:
    """The records, locked; what the block changed is written when it ends without an exception."""
    with locked():
        records = read()
        yield records
        write(records)


def write(records: Records) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_suffix(".new")
    new.write_text(records.model_dump_json(indent=1))
    new.replace(file)


@contextmanager
def locked() -> Iterator[None]:
    """Held by one thread of one process of this host; the kernel lets it go when the process dies."""
    file = lock_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle, file)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, file: Path) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{file}: held by another process for {_LOCK_TIMEOUT:.0f} s: is a `make up` running?"
                ) from None
            time.sleep(0.01)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
