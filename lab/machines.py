"""A machine's life: made, booted until it answers on SSH, rebooted, cut off power, removed."""

from __future__ import annotations

import time
from pathlib import Path

from lab import addresses, firewall, keys, lxc, net
from lab.records import MachineRecord, NetworkRecord
from lab.shell import LabError, delete_tree, inside, run
from tools import paths, seed

_ANSWERS_WITHIN = 60.0


def prepare(machine: MachineRecord, network: NetworkRecord, ssh_public_key: str) -> str:
    """Writes the machine's folder (again, if a crash left half of it); returns the public host key."""
    folder = lxc.folder(machine.spec.name)
    delta = folder / "delta"
    for name in ("delta", "kubelet"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, (mode, content) in lxc.files(machine, network.spec, ssh_public_key).items():
        _place(delta, name, mode, content)
    host_key = keys.ssh_key_pair(delta / "etc/ssh/ssh_host_ed25519_key")
    if not (folder / "containerd").exists():
        _clone_containerd(folder / "containerd")
    _place(folder, "attach", 0o755, lxc.attach_script(machine, network.spec))
    _place(folder, "config", 0o644, lxc.config(machine, network.spec, folder, paths.machine_rootfs()))
    return host_key


def _place(top: Path, name: str, mode: int, content: str) -> None:
    file = top / name
    for parent in reversed(file.relative_to(top).parents):
        # A folder in the delta hides its twin in the image, mode and all; and the umask may be anything.
        (top / parent).mkdir(exist_ok=True)
        (top / parent).chmod(0o700 if parent.parts[:1] == ("root",) else 0o755)
    file.write_text(content)
    file.chmod(mode)


def _clone_containerd(target: Path) -> None:
    partial = target.with_suffix(".partial")
    delete_tree(partial)
    seed.clone_seed(partial)
    partial.rename(target)


def boot(machine: MachineRecord, network: NetworkRecord, host_key: str) -> None:
    if lxc.init_pid(machine.spec.network, machine.spec.name) is None:
        lxc.start(machine.spec.network, machine.spec.name)
    wait_for_ssh(machine, network, host_key)


def wait_for_ssh(machine: MachineRecord, network: NetworkRecord, host_key: str) -> None:
    """First from the router; then, if the firewall lets the operator in, the way the operator comes."""
    spec = machine.spec
    deadline = time.monotonic() + _ANSWERS_WITHIN
    # Looking is free, asking is not: six machines that boot at once need the processor for themselves.
    init = lxc.init_pid(spec.network, spec.name)
    while not _sshd_listens(init) and time.monotonic() < deadline:
        time.sleep(0.1)
    from_router = inside(addresses.namespace(spec.network))
    _until(machine, [*from_router, *_keyscan(str(spec.node_ip), 22)], host_key, deadline, "from its router")
    if firewall.opens(network, machine, "tcp", 22, addresses.OPERATOR):
        where = f"at {machine.ssh_host} port {machine.ssh_port}"
        _until(machine, _keyscan(str(machine.ssh_host), machine.ssh_port), host_key, deadline, where)


def _sshd_listens(init: int | None) -> bool:
    try:
        sockets = Path(f"/proc/{init}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    # sl, local address:port, remote address:port, state; 0016 is port 22, 0A is LISTEN.
    return any(line.split()[1].endswith(":0016") and line.split()[3] == "0A" for line in sockets)


def _keyscan(host: str, port: int) -> list[str]:
    return ["ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(port), host]


def _until(machine: MachineRecord, scan: list[str], host_key: str, deadline: float, where: str) -> None:
    name = machine.spec.name
    while True:
        # "host ssh-ed25519 AAAA..." when sshd answers, nothing when it does not yet.
        lines = run(scan, check=False, timeout=10).stdout.splitlines()
        seen = [" ".join(line.split()[1:3]) for line in lines if line and not line.startswith("#")]
        if seen == [" ".join(host_key.split()[:2])]:
            return
        if seen:
            raise LabError(
                f"machine {name}: somebody else's SSH host key answers {where}: is an address used twice?"
            )
        if time.monotonic() > deadline:
            log = lxc.log_tail(name)
            raise LabError(
                f"machine {name}: SSH does not answer {where} after {_ANSWERS_WITHIN:.0f} s; its log:\n{log}"
            )
        time.sleep(0.1)


def reboot(machine: MachineRecord, network: NetworkRecord) -> None:
    """An orderly reboot from inside, as an administrator does it; returns when SSH answers again."""
    spec = machine.spec
    before = lxc.init_pid(spec.network, spec.name)
    if before is None:
        raise LabError(f"machine {spec.name}: is off: use `power-on`")
    # The answer may get lost with the machine.
    run(lxc.attach(spec.network, spec.name, ["systemctl", "reboot"]), check=False)
    deadline = time.monotonic() + _ANSWERS_WITHIN
    while lxc.init_pid(spec.network, spec.name) in (before, None):
        if time.monotonic() > deadline:
            raise LabError(
                f"machine {spec.name}: no reboot within {_ANSWERS_WITHIN:.0f} s:\n{lxc.log_tail(spec.name)}"
            )
        time.sleep(0.1)
    wait_for_ssh(machine, network, machine.host_key)


def power_off(machine: MachineRecord) -> None:
    spec = machine.spec
    # The link first: killed processes would close their connections politely, which a power cut does not.
    net.machine_link_down(spec.network, spec.node_ip)
    lxc.kill(spec.network, spec.name)


def remove(machine: MachineRecord) -> None:
    power_off(machine)
    if pid := lxc.init_pid(machine.spec.network, machine.spec.name):
        raise LabError(f"machine {machine.spec.name}: process {pid} survives `lxc-stop -k`: run `make down`")
    net.delete_link(addresses.machine_port(machine.spec.node_ip), addresses.namespace(machine.spec.network))
    delete_tree(lxc.folder(machine.spec.name))
