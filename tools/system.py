"""What the lab needs of the host: Debian packages (installed when missing), rights, devices, kernel, room.

Everything that is missing is said at once, each with what to do about it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tools import paths, versions
from tools.paths import ToolchainError

# Program or file -> Debian package: only packages whose program is absent are installed.
PACKAGES = {
    "lxc-start": "lxc",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-agent": "openssh-client",
    "sysctl": "procps",
    "ping": "iputils-ping",
    "ethtool": "ethtool",
}
# Measured: Go caches 11.7, programs 0.9, machine image 0.6, images and seed 1.7; a running lab needs 2.
DISK_GIB_BUILD = 18.0
DISK_GIB_RUN = 4.0
MEMORY_GIB_BUILD = 6.0
MEMORY_GIB_RUN = 2.0


def ensure() -> None:
    """Install what can be installed, then check everything and report all of it together."""
    problems = install_packages() if os.geteuid() == 0 else []
    problems += preflight()
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise ToolchainError(f"this machine cannot run the lab yet:\n{lines}")


def _present(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def missing_packages(present: Callable[[str], bool] = _present) -> list[str]:
    return sorted({package for name, package in PACKAGES.items() if not present(name)})


def install_packages() -> list[str]:
    missing = missing_packages()
    if not missing:
        return []
    if not shutil.which("apt-get"):
        return [f"programs of {', '.join(missing)} are missing and there is no apt-get: install them by hand"]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    log = paths.logs_dir() / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing Debian packages: {' '.join(missing)}", flush=True)
    # lxc recommends a network bridge with dnsmasq on the host, which the lab neither needs nor wants.
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    with log.open("a") as out:
        for command in (["apt-get", "update", "-q"], install):
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
            )
    if done.returncode:
        return [f"apt-get could not install {', '.join(missing)} (log: {log}): install them by hand"]
    return []


def preflight() -> list[str]:
    return list(_problems())


def _problems() -> Iterator[str]:
    if os.geteuid() != 0:
        yield "not root: the lab makes machines and networks; run the same command with sudo"
        return
    for package in missing_packages():
        yield f"Debian package {package} is missing: apt-get install {package}"
    if not Path("/dev/net/tun").is_char_device():
        yield "/dev/net/tun is missing: modprobe tun, or give this virtual machine or container the device"
    if not Path("/sys/fs/cgroup").is_dir():
        yield "/sys/fs/cgroup is not mounted: the machines run systemd, which needs cgroups"
    yield from _room()
    if not missing_packages():
        yield from _kernel()


def _room() -> Iterator[str]:
    home = paths.home()
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**30
    built = (paths.seed_store() / "current").exists()
    need = DISK_GIB_RUN if built else DISK_GIB_BUILD
    if free < need:
        yield f"{home}: {free:.1f} GiB free, {need:.0f} GiB needed: make room, or set TAILSPAN_HOME elsewhere"
    match = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    need = MEMORY_GIB_RUN if built else MEMORY_GIB_BUILD
    if match and (available := int(match[1]) / 2**20) < need:
        yield f"{available:.1f} GiB of memory available, {need:.0f} GiB needed: stop something else first"


# One probe per feature, run in namespaces of its own: nothing of it is left, whatever happens.
_PROBES = (
    ("a bridge", "ip link add name b0 type bridge", "kernel module bridge"),
    ("a veth pair", "ip link add v0 type veth peer name v1", "kernel module veth"),
    ("a VXLAN device", "ip link add x0 type vxlan id 7 dstport 4789 local 127.0.0.1", "kernel module vxlan"),
    ("a TUN device", "ip tuntap add dev t0 mode tun", "kernel module tun"),
    (
        "nft NAT and connection tracking",
        "nft 'add table ip t; add chain ip t c { type nat hook postrouting priority 100; };"
        " add rule ip t c ct state established masquerade'",
        "kernel modules nf_tables, nf_conntrack and nft_masq",
    ),
)


def _kernel() -> Iterator[str]:
    for what, command, remedy in _PROBES:
        if error := _fails(["unshare", "--net", "sh", "-c", command]):
            yield f"the kernel refuses {what} ({error}): it needs {remedy}"
    # A machine of the lab cannot load it itself, and without it a Service fails between pods of one node.
    if not Path("/proc/sys/net/bridge").exists() and (error := _fails(["modprobe", "br_netfilter"])):
        yield f"kernel module br_netfilter cannot be loaded ({error})"
    with tempfile.TemporaryDirectory(dir=paths.home(), prefix="probe-") as folder:
        for name in ("low", "up", "work", "all"):
            (Path(folder) / name).mkdir()
        mount = "mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work all"
        command = f"cd '{folder}' && {mount} && umount all"
        if error := _fails(["unshare", "--mount", "--propagation", "private", "sh", "-c", command]):
            yield (
                f"{paths.home()}: no overlay mount possible ({error}): set TAILSPAN_HOME to a folder on ext4 "
                "or xfs (an overlay cannot lie on another overlay, as in a container's own root)"
            )


def _fails(command: list[str]) -> str:
    if not shutil.which(command[0]):
        return f"there is no {command[0]}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


def debian_mirror(etc: Path = Path("/etc")) -> str:
    """The mirror that this host itself uses, so that what was chosen for it holds for the machines too."""
    suite = versions.debian_suite()
    if chosen := os.environ.get("TAILSPAN_DEBIAN_MIRROR"):
        return chosen
    entries = [(uri, suites) for uri, suites, components in _apt_entries(etc / "apt") if "main" in components]
    # A Debian host of another release: its mirror holds this release too, but its security archive does not.
    debian = re.search(r"^ID=debian$", (etc / "os-release").read_text(), re.MULTILINE) is not None
    main = [uri for uri, suites in entries if debian and not any("-" in s or "/" in s for s in suites[:1])]
    if candidates := [uri for uri, suites in entries if suite in suites] + main:
        return candidates[0]
    raise ToolchainError(
        f"{etc / 'apt'}: no apt source of Debian {suite}; set TAILSPAN_DEBIAN_MIRROR to a Debian mirror's URL"
    )


def _apt_entries(apt: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(URI, suites, components) of every binary source, from one-line and deb822 files."""
    for file in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else ():
            if match := re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line):
                yield match[1], [match[2]], match[3].split()
    for file in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
                for uri in fields.get("URIs", "").split():
                    yield uri, fields.get("Suites", "").split(), fields.get("Components", "").split()
