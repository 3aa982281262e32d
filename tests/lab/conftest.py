"""The lab's tests take the whole host: one lab, brought up once, and nothing of it left in the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import cloud, leftovers
from tests.lab import witness
from tests.lab.stand import (
    FIGURES,
    MACHINES,
    STACK,
    DoomedUp,
    Stand,
    all_ready,
    arguments_of_everybody,
    command,
    running,
    until,
)
from tests.stacks import ssh_region
from tools import paths

# Another room's tests point it elsewhere, for the rest of the session.
_HOME = os.environ.get("TAILSPAN_HOME")
# The lab alone; the dev stack, from harmless to rough; and last what begins without one.
_ORDER = (
    "test_cloud", "test_dev_cluster", "test_bootstrap_order", "test_refusals", "test_theft", "test_reboot",
    "test_gateways", "test_unusable_machines", "test_third_region", "test_rack", "test_node_groups",
    "test_interruption",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = [number for number, item in enumerate(items) if item.path.parent == here]
    ours = sorted((items[number] for number in places), key=lambda item: _ORDER.index(item.path.stem))
    for number, item in zip(places, ours, strict=True):
        items[number] = item


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures of the lab")
        for line in FIGURES:
            terminalreporter.line(line)


@pytest.fixture(scope="session", autouse=True)
def lab_session(pytestconfig: pytest.Config) -> Iterator[None]:
    """The host as it was: what the tests make is gone in the end, whatever happened."""
    if os.geteuid() != 0:
        pytest.fail("the lab's tests make network namespaces and containers: run them as root", pytrace=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILSPAN_HOME", _HOME) if _HOME else patch.delenv("TAILSPAN_HOME", raising=False)
        patch.setenv("PATH", os.pathsep.join([str(paths.bin_dir()), os.environ["PATH"]]))
        paths.machine_rootfs()
        if leftovers.of_the_lab():
            with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print("\na lab is up on this host: the tests take it down and make their own")
            cloud.down()
        before = leftovers.snapshot()
        try:
            yield
        finally:
            cloud.down()
        assert leftovers.diff(before, leftovers.snapshot()) == {}
        assert leftovers.of_the_lab() == {}


@pytest.fixture(scope="session")
def stand(lab_session: None, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """Where the dev stack's files and the launcher's logs are; brings nothing up."""
    folder = tmp_path_factory.mktemp("stand")
    made = Stand(folder / "source", folder / "logs")
    for part in (made.source, made.logs):
        part.mkdir()
    for name in ("Pulumi.yaml", f"Pulumi.{STACK}.yaml"):
        shutil.copy(paths.repo_root() / name, made.source / name)
    return made


@pytest.fixture(scope="session")
def dev(stand: Stand) -> Stand:
    """The dev stack, brought up by what `make up` runs, and a witness pod on every node of it."""
    with arguments_of_everybody(stand.seen_arguments):
        stand.first_up = command(["-m", "lab", "up"], stand.logs / "first-up.log", 300)
    assert stand.first_up.code == 0, f"`python -m lab up` failed:\n{stand.first_up.tail}"
    FIGURES.append(f"`python -m lab up`, caches warm, lab down: {stand.first_up.seconds:.0f} s")
    until("all machines are Ready", all_ready, 60)
    witness.start()
    until("witness pods", lambda: witness.pods().keys() >= set(MACHINES), 60)
    return stand


@pytest.fixture(scope="session")
def doomed_up(dev: Stand) -> Iterator[DoomedUp]:
    """`up` with a region of two SSH machines: nobody answers for the one, and the other is not who it should be.

    It takes a minute and a half, and nearly no work: begun early, it fails while other tests run.
    """
    source = dev.source.with_name("doomed")
    shutil.copytree(dev.source, source)
    stack_file = source / dev.stack_file.name
    content = yaml.safe_load(stack_file.read_text())
    # Well-formed, and nobody's host key.
    key = (paths.lab_dir() / "ssh" / "id_ed25519.pub").read_text().strip()
    somebody = {info.name: info.ssh_host for info in cloud.list_machines()}["gpu-b"]
    machines = [
        {"name": "tx-a", "node_ip": "10.3.0.10", "address": somebody, "host_key": key, "gateway": True},
        # Not the gateway, which waits for its key first: after a failure the engine begins nothing more. The control
        # server refuses SSH, which is cheaper to wait for than silence.
        {"name": "tx-b", "node_ip": "10.3.0.11", "address": "198.51.100.2", "host_key": key},
    ]
    opening = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
    content["config"]["tailspan:stack"]["regions"].append(
        ssh_region(machines=machines, gateway_firewall=[opening])
    )
    stack_file.write_text(yaml.safe_dump(content, sort_keys=False))
    log = dev.logs / "doomed-up.log"
    with running(["-m", "tests.lab.drive", source, "up", STACK], log) as process:
        until(
            "the run dials the machine that nobody answers for",
            lambda: "waiting for SSH on" in log.read_text(errors="replace") or process.poll() is not None,
            60,
        )
        yield DoomedUp(process, log)
