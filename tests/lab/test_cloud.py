"""The lab as a cloud: machines, networks, firewalls, the control server; nothing of the product on them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab import addresses, cloud, headscale, leftovers, lxc, net, preflight, processes, records
from lab.specs import BaseInfo, MachineInfo, MachineSpec, NetworkSpec, Rule
from tools import paths

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

OPERATOR = IPv4Network(f"{addresses.OPERATOR}/32")
EVERYBODY = IPv4Network("0.0.0.0/0")
SSH = Rule(protocol="tcp", port=22, source=OPERATOR)
SPECS = [
    MachineSpec(name="t-gw", network="t-flat", role="gateway", node_ip=IPv4Address("10.7.0.20"), public=True),
    MachineSpec(name="t-node", network="t-flat", role="worker", node_ip=IPv4Address("10.7.0.40")),
    MachineSpec(
        name="t-far-gw", network="t-routed", role="gateway", node_ip=IPv4Address("10.8.0.20"), public=True
    ),
    MachineSpec(
        name="t-far",
        network="t-routed",
        role="worker",
        node_ip=IPv4Address("10.8.0.40"),
        pod_cidr=IPv4Network("10.135.40.0/24"),
    ),
]


@pytest.fixture(scope="module")
def base() -> Iterator[BaseInfo]:
    """A lab of this module's own, gone afterwards with everything it made."""
    if net.internet_is_up():
        pytest.fail("a lab is up on this host: run `make down` first")
    before = leftovers.snapshot()
    try:
        yield cloud.ensure_base()
    finally:
        cloud.down()
    assert leftovers.diff(before, leftovers.snapshot()) == {}
    assert leftovers.of_the_lab() == {}


@pytest.fixture(scope="module")
def machines(base: BaseInfo) -> dict[str, MachineInfo]:
    cloud.create_network(NetworkSpec(name="t-flat", cidr=IPv4Network("10.7.0.0/24")))
    cloud.create_network(
        NetworkSpec(name="t-routed", cidr=IPv4Network("10.8.0.0/24"), lan="routed", nat="hard")
    )
    for network in ("t-flat", "t-routed"):
        cloud.set_firewall(network, "all", [SSH])
    with ThreadPoolExecutor() as threads:
        return {info.name: info for info in threads.map(cloud.create_machine, SPECS)}


def ssh(base: BaseInfo, info: MachineInfo, command: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    known = tmp / "known_hosts"
    host = info.ssh_host if info.ssh_port == 22 else f"[{info.ssh_host}]:{info.ssh_port}"
    known.write_text(f"{host} {info.host_key}\n")
    options = [
        f"UserKnownHostsFile={known}",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        "ConnectTimeout=3",
    ]
    flags = [word for option in options for word in ("-o", option)]
    return subprocess.run(
        ["ssh", *flags, "-p", str(info.ssh_port), f"root@{info.ssh_host}", command],
        env=os.environ | {"SSH_AUTH_SOCK": str(base.ssh_agent_socket)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def reaches(machine: str, address: object) -> bool:
    return cloud.run_in(machine, ["ping", "-c1", "-W1", str(address)], check=False).returncode == 0


def connects(machine: str, address: object, port: int) -> bool:
    script = f"timeout 1 bash -c '</dev/tcp/{address}/{port}'"
    return cloud.run_in(machine, ["bash", "-c", script], check=False).returncode == 0


def fetches(machine: str, url: str) -> bool:
    # No failure of the certificate counts here: trust is another test's matter.
    return cloud.run_in(machine, ["curl", "-sk", "-m2", "-o/dev/null", url], check=False).returncode == 0


def test_every_machine_answers_the_operator_with_its_own_host_key(
    base: BaseInfo, machines: dict[str, MachineInfo], tmp_path: Path
) -> None:
    for info in machines.values():
        answer = ssh(base, info, "hostname", tmp_path)
        assert answer.stdout.strip() == info.name, answer.stderr
    assert len({info.host_key for info in machines.values()}) == len(machines)


def test_a_wrong_host_key_is_noticed(
    base: BaseInfo, machines: dict[str, MachineInfo], tmp_path: Path
) -> None:
    wrong = machines["t-gw"].model_copy(update={"host_key": machines["t-node"].host_key})
    assert "verification failed" in ssh(base, wrong, "true", tmp_path).stderr


def test_machines_boot_without_a_failed_unit(machines: dict[str, MachineInfo]) -> None:
    for name in machines:
        cloud.run_in(name, ["systemctl", "is-system-running", "--wait"], check=False)
        assert cloud.run_in(name, ["systemctl", "--failed", "--no-legend"]).stdout == ""


def test_a_machine_can_do_what_pods_and_tailscale_need(machines: dict[str, MachineInfo]) -> None:
    checks = """
        test -c /dev/net/tun && test -c /dev/kmsg
        mkdir /run/a && mount -t tmpfs tmpfs /run/a && findmnt -no PROPAGATION /run/a | grep -q shared
        ip link add vx0 type vxlan id 7 dstport 8472 local $(hostname -i) && ip link del vx0
        test "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables)" = 1
        ctr version >/dev/null && ctr -n k8s.io images ls -q | grep -q pause
        nft list ruleset
    """
    cloud.run_in("t-node", ["bash", "-ec", checks])


def test_neighbours_reach_each_other_on_both_kinds_of_lan(machines: dict[str, MachineInfo]) -> None:
    assert reaches("t-gw", machines["t-node"].node_ip)
    assert reaches("t-far", machines["t-far-gw"].node_ip)


def test_on_a_routed_lan_the_router_carries_a_machines_pod_range(machines: dict[str, MachineInfo]) -> None:
    cloud.run_in("t-far", ["ip", "addr", "replace", "10.135.40.1/32", "dev", "lo"])
    assert reaches("t-far-gw", "10.135.40.1")


def test_private_addresses_of_another_network_are_unreachable(machines: dict[str, MachineInfo]) -> None:
    assert not reaches("t-gw", machines["t-far-gw"].node_ip)


def test_only_public_machines_and_nat_get_out(machines: dict[str, MachineInfo]) -> None:
    assert fetches("t-gw", f"{headscale.URL}/health")
    assert fetches("t-far", f"{headscale.URL}/health")
    assert not fetches("t-node", f"{headscale.URL}/health")


def test_the_control_server_is_trusted_by_its_authority_alone(
    base: BaseInfo, machines: dict[str, MachineInfo]
) -> None:
    fetch = ["curl", "-sS", "-m2", f"{base.headscale_url}/health"]
    assert cloud.run_in("t-gw", fetch, check=False).returncode == 60
    cloud.run_in("t-gw", ["tee", "/run/ca.pem"], stdin=base.headscale_ca_pem)
    assert "pass" in cloud.run_in("t-gw", [*fetch, "--cacert", "/run/ca.pem"]).stdout


def test_a_firewall_changes_while_machines_run(machines: dict[str, MachineInfo]) -> None:
    address = machines["t-far-gw"].public_ip
    assert not connects("t-gw", address, 22)
    cloud.set_firewall("t-routed", "gateways", [Rule(protocol="tcp", port=22, source=EVERYBODY)])
    assert connects("t-gw", address, 22)
    cloud.delete_firewall("t-routed", "gateways")
    assert not connects("t-gw", address, 22)


def test_a_machine_without_public_address_needs_its_own_opening(
    base: BaseInfo, machines: dict[str, MachineInfo], tmp_path: Path
) -> None:
    cloud.set_firewall("t-flat", "all", [])
    assert ssh(base, machines["t-node"], "true", tmp_path).returncode == 255
    cloud.set_firewall("t-flat", "all", [SSH])
    assert ssh(base, machines["t-node"], "true", tmp_path).returncode == 0


def test_a_rebooted_machine_is_the_same_machine(machines: dict[str, MachineInfo]) -> None:
    cloud.run_in("t-far", ["touch", "/root/kept"])
    cloud.reboot("t-far")
    cloud.run_in("t-far", ["test", "-e", "/root/kept"])
    assert reaches("t-far-gw", machines["t-far"].node_ip)
    cloud.run_in("t-far", ["ip", "addr", "replace", "10.135.40.1/32", "dev", "lo"])
    assert reaches("t-far-gw", "10.135.40.1")
    assert cloud.read_machine("t-far") == machines["t-far"]


def test_a_power_cut_sends_no_last_packet(machines: dict[str, MachineInfo]) -> None:
    listen = "exec 3<>/dev/tcp/10.7.0.40/22; head -1 <&3; cat <&3 >/dev/null; echo closed"
    with subprocess.Popen(
        lxc.attach("t-flat", "t-gw", ["timeout", "3", "bash", "-c", listen]),
        stdout=subprocess.PIPE,
        text=True,
    ) as connection:
        assert connection.stdout
        assert connection.stdout.readline().startswith("SSH-2.0")
        cloud.power_off("t-node")
        assert connection.stdout.read() == ""
    off = cloud.read_machine("t-node")
    assert off is not None
    assert not off.running
    assert not reaches("t-gw", "10.7.0.40")
    cloud.power_on("t-node")
    assert reaches("t-gw", "10.7.0.40")


def test_creating_what_exists_changes_nothing(machines: dict[str, MachineInfo]) -> None:
    assert cloud.create_machine(SPECS[0]) == machines["t-gw"]
    cloud.create_network(NetworkSpec(name="t-flat", cidr=IPv4Network("10.7.0.0/24")))
    assert reaches("t-gw", "10.7.0.40")


def test_a_conflicting_request_is_refused_before_anything_is_made(machines: dict[str, MachineInfo]) -> None:
    kept = records.read()
    with pytest.raises(cloud.LabError, match="is the address of machine t-gw"):
        cloud.create_machine(SPECS[0].model_copy(update={"name": "t-other"}))
    with pytest.raises(cloud.LabError, match="delete it first"):
        cloud.create_machine(SPECS[0].model_copy(update={"generation": 2}))
    with pytest.raises(cloud.LabError, match="is not a machine's address"):
        cloud.create_machine(SPECS[0].model_copy(update={"name": "t-r", "node_ip": IPv4Address("10.7.0.1")}))
    with pytest.raises(cloud.LabError, match="still has the machines"):
        cloud.delete_network("t-flat")
    assert records.read() == kept


def test_the_control_server_and_the_agent_come_back_after_a_kill(base: BaseInfo) -> None:
    for program in ("headscale", "ssh-agent"):
        pid = processes.daemon(program)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert cloud.ensure_base() == base
    assert processes.daemon("headscale")


def test_a_replaced_machine_is_a_new_one(machines: dict[str, MachineInfo]) -> None:
    cloud.delete_machine("t-node")
    cloud.delete_machine("t-node")
    assert cloud.read_machine("t-node") is None
    again = cloud.create_machine(SPECS[1].model_copy(update={"generation": 2}))
    assert again.host_key != machines["t-node"].host_key
    assert not Path(lxc.folder("t-node"), "delta/root/kept").exists()


def test_a_second_lab_on_this_host_is_refused(
    base: BaseInfo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "lab_dir", lambda: tmp_path / "lab")
    for call in (cloud.ensure_base, cloud.down):
        with pytest.raises(cloud.LabError, match="namespace tsl-inet exists and is not this lab's"):
            call()
    assert processes.daemon("headscale") is None
    monkeypatch.undo()
    assert processes.daemon("headscale")


def test_down_needs_no_records_and_little_time(base: BaseInfo, machines: dict[str, MachineInfo]) -> None:
    """The last test: after the worst crash, with records and monitors gone, everything still goes away."""
    for pid in [*processes.monitors(), processes.daemon("headscale") or 0]:
        os.kill(pid, signal.SIGKILL)
    limit = records.read().inotify_instances_before
    (paths.lab_dir() / "records.json").unlink()
    with pytest.raises(cloud.LabError, match="run `make down`"):
        preflight.check(records.read())
    begun = time.monotonic()
    cloud.down()
    assert time.monotonic() - begun < 10
    assert leftovers.of_the_lab() == {}
    if limit is not None:
        Path("/proc/sys/fs/inotify/max_user_instances").write_text(f"{limit}\n")
