"""The Tailscale container of a gateway: one definition for the DaemonSet in the cloud and the static pod outside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from bootstrap.images import Images
from network.mtu import TUNNEL_MTU

NAMESPACE = "tailscale"
TAILSCALE_PORT = 41641
# containerboot's health endpoint. On hostNetwork its default of [::]:9002 would be open on every interface.
HEALTH_ADDRESS = "127.0.0.1:9002"
CA_DIRECTORY = "/etc/tailspan/ca"
# tailscaled's LocalAPI; the route agent beside it writes what is advertised.
SOCKET = "/run/tailscale/tailscaled.sock"
AGENT_HTTP_PORT = 41643
# Of these a gateway hands over in at most 20 (agent/gateway_agent.py, DRAIN_SECONDS); the rest is containerboot's.
GRACE_SECONDS = 30
# A gateway that is back has to stay ready for so long before the next one is touched.
STEADY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Tailnet:
    """What a gateway must know of its control server; `login_server` is None for Tailscale's own."""

    login_server: str | None
    private_ca: bool
    # headscale 0.29 refuses --advertise-tags together with a tagged pre-authentication key.
    advertise_tags: bool
    # Bytes; tailscaled makes its TUN device as large.
    mtu: int = TUNNEL_MTU

    def up_arguments(self, tag: str) -> str:
        """TS_EXTRA_ARGS: source addresses are kept, other regions' routes are used, replies may come back elsewhere."""
        arguments = ["--accept-routes", "--snat-subnet-routes=false", "--stateful-filtering=false"]
        if self.login_server:
            arguments.append(f"--login-server={self.login_server}")
        if self.advertise_tags:
            arguments.append(f"--advertise-tags={tag}")
        return " ".join(arguments)


def environment(tailnet: Tailnet, tag: str) -> dict[str, str]:
    """What both shapes of a gateway share (containerboot's variables: tailscale cmd/containerboot/main.go)."""
    values = {
        "TS_USERSPACE": "false",
        "TS_DEBUG_FIREWALL_MODE": "nftables",
        "TS_ACCEPT_DNS": "false",
        # A restart must not need a key: the key is single-use and long gone.
        "TS_AUTH_ONCE": "true",
        "TS_EXTRA_ARGS": tailnet.up_arguments(tag),
        "PORT": str(TAILSCALE_PORT),
        "TS_ENABLE_HEALTH_CHECK": "true",
        "TS_LOCAL_ADDR_PORT": HEALTH_ADDRESS,
        "TS_SOCKET": SOCKET,
        "TS_EXPERIMENTAL_ENABLE_FORWARDING_OPTIMIZATIONS": "true",
        # Only with TS_SERVE_CONFIG is it of use; on a gateway it can end containerboot (tailscale/tailscale#20958).
        "TS_EXPERIMENTAL_SERVICE_AUTO_ADVERTISEMENT": "false",
    }
    if tailnet.login_server:
        # Without an account at Tailscale nobody would read the logs that tailscaled sends there.
        values["TS_NO_LOGS_NO_SUPPORT"] = "true"
    if tailnet.mtu != TUNNEL_MTU:
        values["TS_DEBUG_MTU"] = str(tailnet.mtu)
    if tailnet.private_ca:
        values["SSL_CERT_FILE"] = f"{CA_DIRECTORY}/ca.crt"
    return values


def pod_settings() -> dict[str, Any]:
    """A gateway's pod: on the host's network, before everything else, and not dependent on the cluster's DNS."""
    return {
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "tolerations": [{"operator": "Exists"}],
    }


# The TUN device of a container that is just being replaced lives on for a moment; tailscaled would find it busy, and
# containerboot would sit beside its dead tailscaled for a minute before it gives up.
_WAIT_FOR_PREDECESSOR = (
    "n=0; while [ -e /sys/class/net/tailscale0 ] && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.2; done"
)


def container(
    images: Images,
    env: list[dict[str, Any]],
    mounts: list[dict[str, Any]],
    *,
    prepare: str = ":",
    hands_over: bool = False,
) -> dict[str, Any]:
    """
    The container itself; `env`, `mounts` and what the shell does to `prepare` the environment differ. `hands_over`: a
    route agent is beside it.
    """
    # The kubelet stops all containers of a pod at once, and asks for this before. The agent answers when the partners
    # receive everything; one that does not answer has nothing to hand over.
    ask = {"host": "127.0.0.1", "port": AGENT_HTTP_PORT, "path": "/hand-over"}
    lifecycle = {"preStop": {"httpGet": ask}}
    return {
        "command": [
            "/bin/sh",
            "-c",
            f"{_WAIT_FOR_PREDECESSOR}; {prepare}; exec /usr/local/bin/containerboot",
        ],
        "name": "tailscale",
        "image": images.tailscale,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"privileged": True},
        "env": env,
        "volumeMounts": [*mounts, socket_mount()],
        **({"lifecycle": lifecycle} if hands_over else {}),
    }


def socket_mount() -> dict[str, Any]:
    return {"name": "socket", "mountPath": str(PurePosixPath(SOCKET).parent)}


def socket_volume() -> dict[str, Any]:
    return {"name": "socket", "emptyDir": {}}


def as_env(values: dict[str, str]) -> list[dict[str, Any]]:
    """Kubernetes' list form, in a stable order."""
    return [{"name": name, "value": value} for name, value in sorted(values.items())]
