"""Before there is an API server in reach: the connector brings it, and nothing else does."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tests.lab.stand import Stand, all_ready, calls_api, console, get, nodes, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MANIFEST = "/etc/kubernetes/manifests/apiserver-connector.yaml"
ASIDE = "/root/apiserver-connector.yaml"
REFUSED = re.compile(
    r"^(\d+\.\d+) .*cannot create certificate signing request: .*10\.0\.0\.10:6443: connect: no route to host",
    re.M,
)
CERTIFICATE = re.compile(r"kubelet-client-(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)\.pem")


@pytest.mark.parametrize("gateway", ["gpu-a", "gpu-b"])
def test_a_gpu_gateway_asked_in_vain_until_its_connector_ran(dev: Stand, gateway: str) -> None:
    journal = console(gateway, "journalctl -u kubelet -o short-unix --no-pager")
    first = REFUSED.search(journal)
    assert first, "its kubelet never failed to reach the API server: the test proves nothing"
    asked = datetime.fromtimestamp(float(first[1]), UTC)
    pod = get("pod", "-n", "tailscale", f"apiserver-connector-{gateway}")
    state = pod["status"]["containerStatuses"][0]["state"]["running"]
    connected = datetime.fromisoformat(state["startedAt"])
    names = console(gateway, "ls /var/lib/kubelet/pki")
    issued = min(datetime.strptime(stamp, "%Y-%m-%d-%H-%M-%S") for stamp in CERTIFICATE.findall(names))
    assert asked < connected <= issued.replace(tzinfo=UTC)


def test_without_its_connector_a_gpu_gateway_has_no_api_server(dev: Stand) -> None:
    assert calls_api("gpu-a")
    console("gpu-a", f"mv {MANIFEST} {ASIDE}")
    try:
        until("the API server is out of gpu-a's reach", lambda: not calls_api("gpu-a"), 40)
        gone = "test -e /sys/class/net/tailscale0 || echo gone"
        until("its tunnel is gone", lambda: console("gpu-a", gone), 20)
        # Not a moment of a restart: it stays so.
        assert not any(calls_api("gpu-a") for _ in range(3))
        cut = datetime.now(UTC)
    finally:
        console("gpu-a", f"mv {ASIDE} {MANIFEST}")
    until("gpu-a reaches the API server again", lambda: calls_api("gpu-a"), 60)
    until("gpu-a's kubelet reports again", lambda: _renewed("gpu-a") > cut, 60)
    until("all machines are Ready", all_ready, 60)


def _renewed(node: str) -> datetime:
    lease = get("lease", "-n", "kube-node-lease", node)
    assert node in nodes()
    return datetime.fromisoformat(lease["spec"]["renewTime"])
