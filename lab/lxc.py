"""Machines as LXC containers: their configuration (pure), and every lxc-* program called where it works."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import addresses
from lab.records import MachineRecord
from lab.shell import LabError, inside, run
from lab.specs import MachineSpec, NetworkSpec
from tools import paths

# Devices that pods and Tailscale need; the host's kernel log is the machine's too.
_DEVICES = ("/dev/net/tun", "/dev/kmsg")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_HOOK = "/usr/local/sbin/lab-start"


def root() -> Path:
    return paths.lab_dir() / "lxc"


def folder(machine: str) -> Path:
    return root() / machine


def config(machine: MachineRecord, network: NetworkSpec, folder: Path, rootfs: Path) -> str:
    spec = machine.spec
    length = network.cidr.prefixlen if network.lan == "l2" else 32
    settings: list[tuple[str, object]] = [
        ("lxc.uts.name", spec.name),
        ("lxc.rootfs.path", f"overlay:{rootfs}:{folder / 'delta'}"),
        ("lxc.init.cmd", "/sbin/init"),
        ("lxc.signal.halt", "SIGRTMIN+4"),
        ("lxc.signal.reboot", "SIGRTMIN+5"),
        ("lxc.hook.start", START_HOOK),
        # Everything of the lab in one folder per hierarchy, so that `down` finds it without asking LXC.
        ("lxc.cgroup.dir.container", f"{addresses.CGROUP}/machine/{spec.name}"),
        ("lxc.cgroup.dir.monitor", f"{addresses.CGROUP}/monitor/{spec.name}"),
        ("lxc.cgroup.dir.monitor.pivot", f"{addresses.CGROUP}/pivot/{spec.name}"),
        ("lxc.net.0.type", "veth"),
        # Not lxc.net.0.link: LXC looks for the bridge among the host's own devices.
        ("lxc.net.0.script.up", folder / "attach"),
        ("lxc.net.0.flags", "up"),
        ("lxc.net.0.name", "eth0"),
        ("lxc.net.0.veth.pair", addresses.machine_port(spec.node_ip)),
        ("lxc.net.0.hwaddr", addresses.machine_mac(spec.node_ip)),
        ("lxc.net.0.ipv4.address", f"{spec.node_ip}/{length}"),
        ("lxc.net.0.ipv4.gateway", addresses.router_address(network.cidr)),
        ("lxc.apparmor.profile", "unconfined"),
        ("lxc.cap.drop", ""),
        ("lxc.mount.auto", "proc:rw sys:rw cgroup:rw:force"),
        ("lxc.autodev", 1),
        ("lxc.tty.max", 0),
        ("lxc.pty.max", 1024),
        *(
            ("lxc.mount.entry", f"{device} {device[1:]} none bind,create=file,optional 0 0")
            for device in _DEVICES
        ),
        # An overlay cannot lie on an overlay: what containerd and kubelet mount on is the host's own disk.
        ("lxc.mount.entry", f"{folder / 'containerd'} var/lib/containerd none bind,create=dir 0 0"),
        ("lxc.mount.entry", f"{folder / 'kubelet'} var/lib/kubelet none bind,create=dir 0 0"),
    ]
    return "".join(f"{key} = {value}\n" for key, value in settings)


def attach_script(machine: MachineRecord, network: NetworkSpec) -> str:
    """Runs in the network's namespace at every start, reboots included: connects the machine to its LAN."""
    spec = machine.spec
    port, gateway = addresses.machine_port(spec.node_ip), addresses.router_address(network.cidr)
    if network.lan == "l2":
        return f"#!/bin/sh\nexec ip link set {port} master {addresses.LAN_BRIDGE} up\n"
    lines = [
        "#!/bin/sh -e",
        f"ip link set {port} up",
        f"ip route replace {spec.node_ip} dev {port} src {gateway}",
    ]
    if spec.pod_cidr:
        lines.append(f"ip route replace {spec.pod_cidr} via {spec.node_ip} dev {port} onlink")
    return "\n".join(lines) + "\n"


def files(machine: MachineRecord, network: NetworkSpec, ssh_public_key: str) -> Mapping[str, tuple[int, str]]:
    """What is different on each machine: path -> mode and content."""
    spec = machine.spec
    return {
        "etc/hostname": (0o644, f"{spec.name}\n"),
        "etc/hosts": (0o644, f"127.0.0.1 localhost\n{spec.node_ip} {spec.name}\n"),
        # Left empty, systemd would take the host's own identity, the same for every machine.
        "etc/machine-id": (0o644, f"{_machine_id(spec)}\n"),
        # There is no DNS in the lab; the router refuses the question at once.
        "etc/resolv.conf": (0o644, f"nameserver {addresses.router_address(network.cidr)}\n"),
        "root/.ssh/authorized_keys": (0o600, f"{ssh_public_key}\n"),
        # In a container systemd leaves mounts private; volumes with mount propagation need them shared.
        START_HOOK[1:]: (0o755, "#!/bin/sh\nexec mount --make-rshared /\n"),
    }


def _machine_id(spec: MachineSpec) -> str:
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{spec.generation}.{spec.name}.{spec.network}").hex


def command(network: str, tool: str, machine: str, *words: str) -> list[str]:
    # LXC's control sockets belong to the namespace that it was started in.
    return [*inside(addresses.namespace(network)), tool, "-P", str(root()), "-n", machine, *words]


def start(network: str, machine: str) -> None:
    log = folder(machine) / "lxc.log"
    argv = command(network, "lxc-start", machine, "-d", "-o", str(log), "-l", "WARN")
    # The machine's monitor inherits whatever output it gets: a pipe would never end.
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise LabError(f"machine {machine}: did not start ({log}):\n{log_tail(machine)}")


def log_tail(machine: str) -> str:
    log = folder(machine) / "lxc.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "no log"


def init_pid(network: str, machine: str) -> int | None:
    """None when the machine is off; another number after a reboot."""
    shown = run(command(network, "lxc-info", machine, "-p", "-H"), check=False).stdout.strip()
    return int(shown) if shown.isdigit() and int(shown) > 0 else None


def kill(network: str, machine: str) -> None:
    run(command(network, "lxc-stop", machine, "-k"), check=False)


def attach(network: str, machine: str, argv: Sequence[str], *, interactive: bool = False) -> list[str]:
    terminal = ["-v", "TERM=xterm-256color"] if interactive else []
    return command(
        network, "lxc-attach", machine, "--clear-env", "-v", _PATH, "-v", "HOME=/root", *terminal, "--", *argv
    )
