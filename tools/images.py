"""Container images from our own static programs, under their public names, so that manifests stay the same.

All of them are in one docker-archive, so that containerd imports them in one go: no registry, no docker.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tools import paths, python, store, versions

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_MULTIARCH = f"{platform.machine()}-linux-gnu"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Raise it when the way of packing changes: what goes in is part of the archive's identity anyway.
_FORMAT = "1"


@dataclass(frozen=True)
class Layer:
    """Files (path in the image -> source), links (path -> target), empty folders; packed reproducibly."""

    files: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()


@dataclass(frozen=True)
class Image:
    name: str
    layers: Sequence[Layer]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""


def ensure(programs: Mapping[str, Path], rootfs: Path, interpreter: Path) -> Path:
    """The archive made of these programs, of the userland of this machine image, and of Debian's Python."""
    images = catalogue(programs, rootfs, interpreter)
    # The sources' folders are named after their content, so this names the content of every image.
    final = paths.images_store() / store.digest(_FORMAT, repr(images))
    with store.locked("images", "container images"):
        if not final.exists():
            with store.partial(final) as work:
                write_archive(work / "images.tar", images)
        store.set_current(final)
    return final / "images.tar"


def catalogue(programs: Mapping[str, Path], rootfs: Path, interpreter: Path) -> list[Image]:
    """Every image of the lab. Names and entry points are those of the public images."""
    kubernetes, scratch = versions.version("kubernetes"), Layer(folders=("etc", "tmp", "var", "run"))
    shell, network, certificates = _shell(rootfs), _network_userland(rootfs), _certificates(rootfs)

    def local(*names: str) -> Layer:
        return Layer({f"usr/local/bin/{name}": programs[name] for name in names})

    control_plane = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return [
        *(
            Image(
                f"registry.k8s.io/{name}:v{kubernetes}",
                [scratch, certificates, local(name)],
                entrypoint=[name],
            )
            for name in control_plane
        ),
        Image(
            f"registry.k8s.io/kube-proxy:v{kubernetes}",
            [scratch, network, local("kube-proxy")],
            entrypoint=["kube-proxy"],
        ),
        Image(
            f"registry.k8s.io/etcd:{versions.version('etcd')}-0",
            [scratch, local("etcd")],
            entrypoint=["etcd"],
        ),
        Image(
            f"registry.k8s.io/pause:{versions.version('pause')}",
            [Layer({"pause": programs["pause"]})],
            entrypoint=["/pause"],
            user="65535:65535",
        ),
        Image(
            f"registry.k8s.io/coredns/coredns:v{versions.version('coredns')}",
            [scratch, certificates, Layer({"coredns": programs["coredns"]})],
            entrypoint=["/coredns"],
        ),
        Image(
            f"ghcr.io/tailscale/tailscale:v{versions.version('tailscale')}",
            [scratch, shell, network, certificates, local("tailscale", "tailscaled", "containerboot")],
            command=["/usr/local/bin/containerboot"],
        ),
        Image(
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            # The public image has iproute2, too; `make check` reads a connection's segment size with ss.
            [scratch, shell, network, Layer({"agnhost": programs["agnhost"]}, folders=("uploads",))],
            entrypoint=["/agnhost"],
            command=["pause"],
        ),
        Image(
            f"docker.io/library/python:{python.VERSION}-slim-{versions.debian_suite()}",
            [scratch, shell, certificates, _python(interpreter, rootfs)],
            command=["python3"],
        ),
    ]


def _shell(rootfs: Path) -> Layer:
    busybox = rootfs / "bin/busybox"
    applets = subprocess.check_output([busybox, "--list"], text=True).split()
    return Layer(
        {"bin/busybox": busybox}, {f"bin/{name}": "busybox" for name in applets if name != "busybox"}
    )


# What no program of a pod imports, and caches of another interpreter.
_NOT_PACKED = ("__pycache__", "test", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter")


def _python(interpreter: Path, rootfs: Path) -> Layer:
    """The interpreter, its standard library, and the shared libraries that they load; names as in the public image."""
    library = interpreter / python.LIBRARY
    files = {
        str(file.relative_to(interpreter)): file
        for file in sorted(library.rglob("*"))
        if file.is_file() and not set(file.relative_to(library).parts).intersection(_NOT_PACKED)
    }
    files[python.PROGRAM] = interpreter / python.PROGRAM
    for path in _libraries(rootfs, [interpreter / python.PROGRAM, *library.glob("lib-dynload/*.so")]):
        files[path.lstrip("/")] = inside(rootfs, path)
    links = {f"usr/local/bin/{name}": f"/{python.PROGRAM}" for name in ("python3", "python")}
    return Layer(files, links)


def _libraries(rootfs: Path, programs: Sequence[Path]) -> list[str]:
    """The loader of programs that are not in the machine image, and what it finds for them there."""
    named = re.search(rb"/lib[\w/.-]*/ld-linux[\w.-]*", programs[0].read_bytes()[:4096])
    if not named:
        raise paths.ToolchainError(f"{programs[0]}: names no loader, so it is no program of this Debian")
    loader = named[0].decode()
    folder = f"{rootfs}/usr/lib/{_MULTIARCH}"
    listed = [str(inside(rootfs, loader)), "--library-path", folder, "--list"]
    found = {loader}
    for program in programs:
        printed = subprocess.run([*listed, str(program)], capture_output=True, text=True, check=True).stdout
        for line in printed.splitlines():
            words = line.split()
            if "=>" in words and "not" in words:
                raise paths.ToolchainError(f"{program}: needs {words[0]}, which the machine image lacks")
            found |= {word.removeprefix(str(rootfs)) for word in words if word.startswith(folder)}
    return sorted(found)


def _certificates(rootfs: Path) -> Layer:
    bundle = "etc/ssl/certs/ca-certificates.crt"
    return Layer({bundle: rootfs / bundle})


def _network_userland(rootfs: Path) -> Layer:
    """iptables (on nftables), nft, conntrack, ip and ss, every library they load, and the protocols' names."""
    extensions = f"/usr/lib/{_MULTIARCH}/xtables"
    wanted = ["/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/sbin/conntrack", "/bin/ip", "/bin/ss"]
    wanted += sorted(f"{extensions}/{file.name}" for file in Path(f"{rootfs}{extensions}").glob("*.so"))
    # The extensions have libraries of their own: without libm a Service with two endpoints fails.
    printed = subprocess.check_output(
        ["chroot", rootfs, "ldd", *wanted], text=True, stderr=subprocess.DEVNULL
    )
    libraries = {
        word for line in printed.splitlines() if "(0x" in line for word in line.split() if word[0] == "/"
    }
    files = {path.lstrip("/"): inside(rootfs, path) for path in (*wanted, *sorted(libraries))}
    files |= {name: rootfs / name for name in ("etc/protocols", "etc/services")}
    commands = ("", "-save", "-restore")
    variants = [
        f"{ip}{kind}{do}" for ip in ("iptables", "ip6tables") for kind in ("", "-nft") for do in commands
    ]
    return Layer(files, {f"usr/sbin/{name}": "xtables-nft-multi" for name in variants})


def inside(rootfs: Path, path: str) -> Path:
    """The file that a path names inside the root file system: absolute links there mean its own files."""
    current, parts = rootfs, list(PurePosixPath(path.lstrip("/")).parts)
    for _ in range(100):
        if not parts:
            return current
        step = current / parts.pop(0)
        if step.is_symlink():
            target = step.readlink()
            parts = [*(part for part in target.parts if part != "/"), *parts]
            current = rootfs if target.is_absolute() else current
        else:
            current = current.parent if step.name == ".." else step
    raise OSError(f"{path}: too many links inside {rootfs}")


def pack(layer: Layer, out: Path) -> str:
    """Write the layer and give its digest."""
    entries = {**dict.fromkeys(layer.files, b""), **dict.fromkeys(layer.links, b"")}
    parents = {str(parent) for name in entries for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(parents | set(layer.folders)):
            tar.addfile(_info(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755))
        for name, source in sorted(layer.files.items()):
            real = source.resolve()
            info = _info(name, tarfile.REGTYPE, 0o755 if real.stat().st_mode & 0o111 else 0o644)
            info.size = real.stat().st_size
            with real.open("rb") as content:
                tar.addfile(info, content)
        for name, target in sorted(layer.links.items()):
            info = _info(name, tarfile.SYMTYPE, 0o777)
            info.linkname = target
            tar.addfile(info)
    with out.open("rb") as packed:
        return hashlib.file_digest(packed, "sha256").hexdigest()


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    return info


def write_archive(out: Path, images: Sequence[Image]) -> None:
    packed: dict[int, str] = {}
    names: set[str] = set()
    manifest = []
    with tarfile.open(out, "w") as archive:

        def add(name: str, data: bytes) -> None:
            info = _info(name, tarfile.REGTYPE, 0o644)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        def layer_digest(layer: Layer) -> str:
            # Shared layers are packed once and lie in the archive once.
            if id(layer) not in packed:
                temporary = out.with_suffix(".layer")
                digest = packed[id(layer)] = pack(layer, temporary)
                if digest not in names:
                    archive.add(temporary, f"{digest}/layer.tar", filter=_anonymous)
                    names.add(digest)
                temporary.unlink()
            return packed[id(layer)]

        for image in images:
            digests = [layer_digest(layer) for layer in image.layers]
            config = _config(image, digests)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            if name not in names:
                add(name, config)
                names.add(name)
            layers = [f"{digest}/layer.tar" for digest in digests]
            manifest.append({"Config": name, "RepoTags": [image.name], "Layers": layers})
        add("manifest.json", json.dumps(manifest).encode())


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _config(image: Image, digests: Sequence[str]) -> bytes:
    run = {
        "Entrypoint": list(image.entrypoint),
        "Cmd": list(image.command),
        "User": image.user,
        "Env": [_PATH],
    }
    content = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    return json.dumps(content, sort_keys=True).encode()
