"""Whatever would make the lab collide with this host, found before anything is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab import addresses, net
from lab.records import Records
from lab.shell import LabError, run
from tools import paths

_PROGRAMS = ("lxc-start", "lxc-attach", "lxc-info", "lxc-stop", "ip", "nft", "nsenter", "sysctl")
_PROGRAMS_OF_SSH = ("ssh-agent", "ssh-add", "ssh-keyscan")
# A unix socket's path is 107 bytes at most, and the lab has some under its folder.
_LONGEST_FOLDER = 80


def check(records: Records) -> None:
    problems = list(_needs())
    if not problems:
        problems = [*route_conflicts(_routes()), *_names(records)]
    if problems:
        raise LabError(
            "the lab cannot start on this host:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )


def program(name: str) -> str:
    """A program of the toolchain, or one the user has installed."""
    found = shutil.which(name, path=f"{paths.bin_dir()}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if not found:
        raise LabError(f"{name}: not in {paths.bin_dir()} nor on PATH: run `make up`, which builds it")
    return found


def _needs() -> Iterator[str]:
    if os.geteuid() != 0:
        yield "not root: the lab makes namespaces and machines: run the same command with sudo"
    if not Path("/dev/net/tun").is_char_device():
        yield "/dev/net/tun is missing: load the kernel's tun module, or pass the device into this container"
    missing = [name for name in (*_PROGRAMS, *_PROGRAMS_OF_SSH) if not shutil.which(name)]
    if missing:
        yield f"missing programs: {', '.join(missing)}: run `make up`, which installs them"
    if len(str(paths.lab_dir())) > _LONGEST_FOLDER:
        yield f"{paths.lab_dir()}: over {_LONGEST_FOLDER} characters: set TAILSPAN_HOME to a shorter path"


def route_conflicts(routes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Routes of the host in the lab's public range; `routes` is what `ip -j route show table all` prints."""
    problems = []
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination == "default" or ":" in destination or route.get("dev") == addresses.OPERATOR_LINK:
            continue
        if IPv4Network(destination, strict=False).overlaps(addresses.PUBLIC):
            problems.append(
                f"{addresses.PUBLIC} is the lab's internet, but this host has the route {destination} "
                f"(dev {route.get('dev', 'none')}): remove that route while the lab runs"
            )
    return problems


def _routes() -> list[Mapping[str, Any]]:
    routes: list[Mapping[str, Any]] = json.loads(
        run(["ip", "-4", "-j", "route", "show", "table", "all"]).stdout or "[]"
    )
    return routes


def _names(records: Records) -> Iterator[str]:
    ours = {addresses.INTERNET, *(addresses.namespace(name) for name in records.networks)}
    for name in net.namespaces():
        if not net.owned(name) and name in ours | {addresses.INTERNET}:
            yield net.foreign(name)
        elif name not in ours:
            remedy = f"run `make down`, or `ip netns del {name}` if it is not the lab's"
            yield f"network namespace {name} is not in the lab's records: {remedy}"
    if net.link_exists(addresses.OPERATOR_LINK) and not net.namespace_exists(addresses.INTERNET):
        link = addresses.OPERATOR_LINK
        yield f"link {link} exists without a lab: remove it with `ip link del {link}`"
