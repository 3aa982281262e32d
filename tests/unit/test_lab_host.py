from __future__ import annotations

import ssl
import stat
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from lab import keys, leftovers, preflight, processes
from lab.shell import LabError, run


def test_a_host_route_inside_the_labs_internet_is_a_conflict() -> None:
    problems = preflight.route_conflicts([{"dst": "198.51.100.128/25", "dev": "eth1"}])
    assert len(problems) == 1
    assert "198.51.100.128/25 (dev eth1)" in problems[0]


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "default", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "198.51.100.0/24", "dev": "tsl-op"},
        {"type": "local", "dst": "198.51.100.1", "dev": "tsl-op"},
        {"dst": "fd00::/64", "dev": "eth0"},
    ],
)
def test_other_routes_are_none(route: dict[str, str]) -> None:
    assert preflight.route_conflicts([route]) == []


def test_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    keys.private_file(tmp_path / "a/key", b"secret")
    assert stat.S_IMODE((tmp_path / "a/key").stat().st_mode) == 0o600


def test_a_key_pair_is_made_once(tmp_path: Path) -> None:
    first = keys.ssh_key_pair(tmp_path / "id")
    assert first.startswith("ssh-ed25519 AAAA")
    assert keys.ssh_key_pair(tmp_path / "id") == first
    assert run(["ssh-keygen", "-y", "-f", tmp_path / "id"]).stdout.split()[:2] == first.split()


def test_the_control_servers_certificate_is_good_for_its_address(tmp_path: Path) -> None:
    keys.server_certificate(tmp_path, IPv4Address("198.51.100.2"))
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("198.51.100.2")]


def test_the_authoritys_key_is_never_written(tmp_path: Path) -> None:
    keys.server_certificate(tmp_path, IPv4Address("198.51.100.2"))
    assert {file.name for file in tmp_path.iterdir()} == {"ca.pem", "server.pem", "server.key"}


def test_a_difference_names_what_came_and_what_went() -> None:
    before = {"links": frozenset({"lo", "eth0"}), "rules": frozenset({"0"})}
    after = {"links": frozenset({"lo", "tsl-op"}), "rules": frozenset({"0"})}
    assert leftovers.diff(before, after) == {"links": ("+ tsl-op", "- eth0")}
    assert leftovers.diff(before, before) == {}


def test_a_failing_program_is_named_with_what_it_said() -> None:
    with pytest.raises(LabError, match=r"`sh -c echo no >&2; exit 3` failed \(3\): no"):
        run(["sh", "-c", "echo no >&2; exit 3"])


def test_a_missing_program_says_how_to_get_it() -> None:
    with pytest.raises(LabError, match="make up"):
        run(["no-such-program-here"])


def test_a_daemon_outlives_its_call_and_is_ended_by_its_number(tmp_path: Path) -> None:
    pid = processes.start_daemon(["sleep", "600"], tmp_path / "log")
    assert processes.alive(pid)
    assert processes.end([pid], within=5) == set()
    assert not processes.alive(pid)


def test_a_daemon_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pid = processes.start_daemon(["sh", "-c", "echo cannot bind"], log)
    with pytest.raises(LabError, match="cannot bind"):
        processes.wait_for("server", log, lambda: False, within=5, pid=pid)
