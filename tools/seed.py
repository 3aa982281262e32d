"""A containerd root with every image imported and unpacked, made once and hard-linked into each machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools import paths, store

# containerd rewrites these in place; everything else in an idle root is only read or removed.
_DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")

# The image's own containerd does the work, so that machines find the format they know.
_SCRIPT = """\
set -eu
root=$1 seed=$2 archive=$3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/run/seed" "$root/run/archive"
mount --bind "$seed" "$root/run/seed"
mount --bind "$archive" "$root/run/archive"
exec chroot "$root" /bin/sh -eu -c '
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cat >/run/config.toml <<EOF
version = 2
root = "/run/seed"
state = "/run/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "/run/containerd.sock"
EOF
containerd --config /run/config.toml --log-level warn &
daemon=$!
images="ctr --address /run/containerd.sock --namespace k8s.io images"
for _ in $(seq 100); do $images ls >/dev/null 2>&1 && break; sleep 0.1; done
$images import --snapshotter overlayfs /run/archive/images.tar
$images check
kill -TERM $daemon
wait $daemon
'
"""


def ensure(archive: Path, rootfs: Path) -> Path:
    final = paths.seed_store() / store.digest(rootfs.name, archive.parent.name, _SCRIPT)
    with store.locked("seed", "containerd seed"):
        if not final.exists():
            with store.partial(final) as work:
                script = ["sh", "-c", _SCRIPT, "seed", str(rootfs), str(work), str(archive.parent)]
                store.run([*store.CONTAINED, *script], log=paths.logs_dir() / "seed.log")
        store.set_current(final)
    return final


def clone_seed(target: Path) -> None:
    """Give a machine its own containerd root at once, without disk; `target` lies on the seed's file system.

    The machine must not write into the shared files: containerd and its overlays only read or unlink them.
    """
    seed = paths.containerd_seed()
    target.mkdir(parents=True, exist_ok=True)
    store.run(["cp", "-al", f"{seed}/.", f"{target}/"])
    for name in _DATABASES:
        (target / name).unlink()
        shutil.copy2(seed / name, target / name)
