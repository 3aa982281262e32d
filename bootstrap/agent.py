"""What the route agent gets onto a machine: its configuration, its region's key, and itself as one file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from functools import cache
from importlib.util import find_spec
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from agent.config import ADDRESS_VARIABLE, IDENTITY_VARIABLE, NAME_VARIABLE
from bootstrap.gateway import AGENT_HTTP_PORT, SOCKET, pod_settings
from bootstrap.images import Images
from network.plan import NetworkPlan, NodePlan, RegionPlan
from network.ports import HEALTH_PORT
from network.prefixes import LONGEST_POD_PREFIX, LONGEST_PREFIX, probe_address

# Where the files are in the pod; on machines that we bootstrap they are under the same paths outside it.
CONFIG = "/etc/tailspan/agent/config.json"
KEY = "/etc/tailspan/agent/key"
PROGRAM = "/usr/local/lib/tailspan/agent.pyz"
# The static pod of a plain node.
MANIFEST = "/etc/kubernetes/manifests/route-agent.yaml"

NAME = "route-agent"
# Of plain nodes' agents: who may start pods where the gateways live could take their traffic.
NAMESPACE = "kube-system"
# Annotation of pods.
IDENTITY = "tailspan.dev/agent"

# The modules of pyroute2 that agent/kernel needs: its message formats. The package's own __init__ imports all of it,
# which costs a second of processor time at every start; in the file it is empty.
PYROUTE2 = (
    "common.py",
    "netlink/__init__.py",
    "netlink/exceptions.py",
    "netlink/rtnl/__init__.py",
    "netlink/rtnl/fibmsg.py",
    "netlink/rtnl/ifaddrmsg.py",
    "netlink/rtnl/rtmsg.py",
)
_MAIN = "import sys\nfrom agent.__main__ import main\nsys.exit(main())\n"


def has_agent(region: RegionPlan) -> bool:
    """With mode: per-node each machine is its own way to other regions, and there is nothing to choose."""
    return region.mode == "gateway"


def config_file(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=1) + "\n"


def agent_config(node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> dict[str, Any]:
    """The configuration of one machine, for an agent that is told nothing else."""
    return region_config(region, plan) | {
        "role": "gateway" if node.role == "gateway" else "node",
        "name": node.name,
        "node_ip": str(node.node_ip),
        "pods": str(node.pod_cidr),
    }


def region_config(region: RegionPlan, plan: NetworkPlan) -> dict[str, Any]:
    """config.json (agent/config.py says what each key means), the same for all machines of a region."""
    gateways = region.gateways
    # On every address: what a load balancer asks is addressed to the balancer's own, which the machine takes for its.
    # The packet filter lets nobody else in (bootstrap/hostnetwork.py).
    health = {"health": f"0.0.0.0:{HEALTH_PORT}"} if region.health_sources else {}
    node_pods = {
        "node_cidr": str(region.node_cidr),
        "pod_cidr": str(region.pod_cidr),
        "length": gateways[0].pod_cidr.prefixlen,
    }
    return _cloud_routes(region) | {
        "region": region.name,
        "key_file": KEY,
        "reach": region.reach,
        "gateways": [_gateway(gateway, region) for gateway in gateways],
        "node_pods": node_pods,
        "supernets": [str(plan.node_supernet), str(plan.pod_supernet)],
        "mtu": plan.mtu,
        "advmss": plan.mss,
        "ladder": _ladder(region) | {"socket": SOCKET},
        **health,
    }


def _gateway(node: NodePlan, region: RegionPlan) -> dict[str, str]:
    """Without an address where a cloud chooses it: the pod's environment says it (agent/config.py)."""
    return {"name": node.name} | ({} if region.pool_gateways else {"address": str(node.node_ip)})


def _cloud_routes(region: RegionPlan) -> dict[str, Any]:
    """Nothing but where a cloud's routes have to be moved by hand: no other region's file changes for it."""
    routes = region.cloud_routes
    if routes is None:
        return {}
    return {"cloud_routes": {"kind": routes.kind, "tables": list(routes.tables), "tag": list(routes.tag)}}


def _ladder(region: RegionPlan) -> dict[str, Any]:
    gateways = region.gateways
    return {
        "blocks": [
            _block(region.node_cidr, LONGEST_PREFIX, [IPv4Network(one.node_ip) for one in gateways]),
            _block(region.pod_cidr, LONGEST_POD_PREFIX, [one.pod_cidr for one in gateways])
            | {"node": gateways[0].pod_cidr.prefixlen},
        ],
        "probes": [
            [str(probe_address(region.pod_cidr, one, other)) for other in range(len(gateways))]
            for one in range(len(gateways))
        ],
    }


def _block(prefix: IPv4Network, longest: int, own: list[IPv4Network]) -> dict[str, Any]:
    return {"prefix": str(prefix), "longest": longest, "own": [str(one) for one in own]}


def identified(pod: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """
    The pod with an annotation that changes with everything in it, the program and its configuration included: so a new
    version starts the pod anew, and the agent can be asked whether it is that one (/identity).
    """
    everything = zipapp() + config_file(config).encode() + json.dumps(pod, sort_keys=True).encode()
    # With a letter in front: sixteen digits would be a number for YAML.
    version = f"v{hashlib.sha256(everything).hexdigest()[:16]}"
    return pod | {"metadata": pod["metadata"] | {"annotations": {IDENTITY: version}}}


def agent_container(
    images: Images, env: list[dict[str, Any]], mounts: list[dict[str, Any]], *, gateway: bool
) -> dict[str, Any]:
    """
    The agent in a stock Python image: the program and its files come by `mounts`. It is not privileged; it
    works on the routes, rules and addresses of the host's network.
    """
    probe = {
        "httpGet": {"host": "127.0.0.1", "path": "/healthz", "port": AGENT_HTTP_PORT},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
        "failureThreshold": 6,
    }
    ready = {
        "httpGet": {"host": "127.0.0.1", "path": "/readyz", "port": AGENT_HTTP_PORT},
        "periodSeconds": 1,
        "failureThreshold": 3,
    }
    return {
        "name": NAME,
        "image": images.python,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", PROGRAM, "--config", CONFIG, "run"],
        "env": [
            *env,
            {
                "name": IDENTITY_VARIABLE,
                "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{IDENTITY}']"}},
            },
        ],
        "volumeMounts": mounts,
        # A node is of use before it has heard a gateway; a gateway only when its partners find that it forwards.
        **({"readinessProbe": ready} if gateway else {}),
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_NICE"]},
        },
    }


def machine_env(name: str, address: str) -> list[dict[str, Any]]:
    """Which machine it is, for a static pod: written out, since it starts before there is an API server to ask."""
    return [{"name": NAME_VARIABLE, "value": name}, {"name": ADDRESS_VARIABLE, "value": address}]


def downward_env(name: str | None = None) -> list[dict[str, Any]]:
    """The same for a DaemonSet's pods; `name` for one whose node a cloud names as it likes."""
    told = {"value": name} if name else {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    return [
        {"name": NAME_VARIABLE, **told},
        {"name": ADDRESS_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
    ]


def mounts() -> list[dict[str, Any]]:
    """Where the agent finds its program, its configuration and its key."""
    return [
        {"name": "agent", "mountPath": str(Path(PROGRAM).parent), "readOnly": True},
        {"name": "agent-config", "mountPath": str(Path(CONFIG).parent), "readOnly": True},
    ]


def volumes() -> list[dict[str, Any]]:
    """The same folders of a machine that we bootstrap."""
    return [
        {"name": mount["name"], "hostPath": {"path": mount["mountPath"], "type": "Directory"}}
        for mount in mounts()
    ]


def agent_pod(node: NodePlan, region: RegionPlan, plan: NetworkPlan, images: Images) -> dict[str, Any]:
    """
    The static pod of a plain node: after a reboot it needs no API server, which may be reachable only through a gateway
    that this agent has to find.
    """
    env = machine_env(node.name, str(node.node_ip))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"app": NAME}},
        "spec": pod_settings()
        | {
            "restartPolicy": "Always",
            "containers": [agent_container(images, env, mounts(), gateway=False)],
            "volumes": volumes(),
        },
    }
    return identified(pod, region_config(region, plan))


@cache
def zipapp() -> bytes:
    """The agent as one file for `python agent.pyz`: the same bytes wherever it is made from the same sources."""
    root = Path(__file__).parent.parent
    spec = find_spec("pyroute2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pyroute2 is not installed; run `make setup`")
    library = Path(spec.origin).parent
    files = {"__main__.py": _MAIN.encode(), "pyroute2/__init__.py": b""}
    files |= {str(path.relative_to(root)): path.read_bytes() for path in (root / "agent").rglob("*.py")}
    files |= {f"pyroute2/{name}": (library / name).read_bytes() for name in PYROUTE2}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            # The oldest time that the format knows: no clock and no file mode of this machine gets in.
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return b"#!/usr/bin/env python3\n" + buffer.getvalue()
