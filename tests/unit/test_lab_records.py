from __future__ import annotations

import threading
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab import addresses, records
from lab.records import Records
from lab.shell import LabError
from tests.unit.lab_values import lab, machine


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILSPAN_HOME", str(tmp_path))


def test_a_lab_that_was_never_up_has_empty_records() -> None:
    assert records.read() == Records()


def test_what_an_edit_changed_is_read_again() -> None:
    with records.edit() as kept:
        kept.networks = lab().networks
    assert records.read().network("hub").spec.cidr == lab().network("hub").spec.cidr


def test_an_edit_that_fails_changes_nothing() -> None:
    def fail() -> None:
        with records.edit() as kept:
            kept.inotify_instances_before = 128
            raise LabError("no")

    with pytest.raises(LabError):
        fail()
    assert records.read().inotify_instances_before is None


def test_edits_of_many_threads_lose_nothing() -> None:
    def add(number: int) -> None:
        with records.edit() as kept:
            kept.machines[f"m{number}"] = machine(f"m{number}", number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(2, 22)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.read().machines) == 20


def test_records_from_before_the_hosts_last_boot_are_refused() -> None:
    records.write(Records(boot_id="another"))
    with pytest.raises(LabError, match="run `make down`"):
        records.read()


def test_down_can_start_from_records_that_nobody_understands(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/records.json").write_text('{"networks": 1')
    with pytest.raises(LabError, match="run `make down`"):
        records.read()
    assert records.read_or_empty() == Records()


def test_public_addresses_go_round_before_one_is_used_again() -> None:
    kept = Records()
    first, second = kept.hand_out_public_ip(), kept.hand_out_public_ip()
    assert (first, second) == addresses.HANDED_OUT[:2]
    kept.last_public_ip = addresses.HANDED_OUT[-1]
    assert kept.hand_out_public_ip() == first


def test_an_address_in_use_is_not_handed_out() -> None:
    kept = lab()
    handed = [kept.hand_out_public_ip() for _ in range(3)]
    assert handed == [IPv4Address(f"198.51.100.{number}") for number in (13, 14, 15)]


def test_all_addresses_in_use_is_said() -> None:
    kept = Records()
    for number, ip in enumerate(addresses.HANDED_OUT):
        kept.machines[f"m{number}"] = machine(f"m{number}", 2, public_ip=str(ip))
    with pytest.raises(LabError, match="all 245 public addresses"):
        kept.hand_out_public_ip()


def test_forwarded_ports_are_the_networks_own() -> None:
    assert lab().free_ssh_port("hub") == 2201
    assert lab().free_ssh_port("other") == 2200


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="machine x: not in the lab, which has cp, gw, w"):
        lab().machine("x")
