"""The machine image: one Debian root file system that every lab machine starts from, like a stock image.

Nothing of tailspan's bootstrap is in it: that comes over SSH, as on a real machine. Made in two steps, so
that Debian is unpacked while Go compiles: `base()` needs only the network, `ensure()` adds the programs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools import paths, store, system, versions

# fmt: off
# What kubelet, kubeadm's preflight, a bootstrap script and Tailscale need; busybox-static and the userland of
# iptables also fill the container images (tools/images.py).
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "bash", "curl", "ca-certificates", "netbase",
    "containerd", "runc", "containernetworking-plugins",
    "iproute2", "nftables", "iptables", "ebtables", "conntrack", "socat", "ethtool", "iputils-ping", "kmod",
    "procps", "tcpdump", "busybox-static",
)
_SILENT_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "dpkg-db-backup.timer", "getty@tty1.service", "console-getty.service", "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
)
# fmt: on

_CONTAINERD = """\
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  # In a virtual machine without CAP_SYS_RESOURCE every sandbox fails otherwise.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""

# Path -> content; replaces what debootstrap copied from the host (its name, its resolver) or Debian's own.
FILES: Mapping[str, str] = {
    "etc/hostname": "machine\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/resolv.conf": "",
    # Empty: systemd makes a new one at each machine's first boot.
    "etc/machine-id": "",
    "etc/containerd/config.toml": _CONTAINERD,
    # Pod processes that ignore SIGTERM would hold up a shutdown for 60 s.
    "etc/systemd/system.conf.d/10-lab.conf": "[Manager]\nDefaultTimeoutStopSec=4s\n",
    # Pulumi opens many connections at once; sshd's default drops some beyond ten.
    "etc/ssh/sshd_config.d/10-lab.conf": "PasswordAuthentication no\nMaxStartups 200\nMaxSessions 100\n",
}
MACHINE_PROGRAMS = ("kubelet", "kubeadm", "kubectl")


def base_dir() -> Path:
    return paths.rootfs_store() / "debian" / store.digest(versions.debian_suite(), *PACKAGES)


def base() -> Path:
    """Debian with the packages, no programs of ours yet."""
    final = base_dir()
    with store.locked("rootfs-base", "Debian root file system"):
        if not final.exists():
            with store.partial(final) as work:
                _debootstrap(versions.debian_suite(), work)
    return final


def _debootstrap(suite: str, root: Path) -> None:
    debs = paths.home() / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--cache-dir={debs}"]
    log = paths.logs_dir() / "debootstrap.log"
    env = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    store.run([*store.CONTAINED, *command, suite, root, system.debian_mirror()], log=log, env=env)
    root.chmod(0o755)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    for listing in (root / "var/lib/apt/lists").glob("*_*"):
        listing.unlink()


def ensure(kubernetes: Path) -> Path:
    """The finished image with the programs found in `kubernetes` (a built tool's folder)."""
    debian = base()
    identity = store.digest(
        debian.name, kubernetes.name, *(f"{k}={v}" for k, v in FILES.items()), *_SILENT_UNITS
    )
    final = paths.rootfs_store() / f"machine-{identity}"
    with store.locked("rootfs", "machine image"):
        if not final.exists():
            with store.partial(final) as work:
                # Hard links: no disk, no time. Every file changed below is made anew, never written in place.
                store.run(["cp", "-al", f"{debian}/.", f"{work}/"])
                _finish(work, kubernetes)
        store.set_current(final)
    return final


def _finish(root: Path, kubernetes: Path) -> None:
    root.chmod(0o755)
    for name, content in FILES.items():
        replace(root / name, content)
    for unit in _SILENT_UNITS:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    # Each machine gets a host key of its own before it boots; a shared one would be no identity.
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "usr/lib/modules").mkdir(exist_ok=True)
    for program in MACHINE_PROGRAMS:
        _place(kubernetes / program, root / "usr/local/bin" / program)


def replace(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(content)
    file.chmod(0o644)


def _place(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)
    target.chmod(0o755)
