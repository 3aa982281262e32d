"""What makes a rig's machine a node: the product's network script and files, kube-proxy's chain, and a pod."""

from __future__ import annotations

from bootstrap import hostnetwork
from bootstrap.script import FILES
from lab.rig.machines import Machine
from lab.rig.plan import ENDPOINT
from network.plan import NetworkPlan, NodePlan, RegionPlan

# The pod's addresses in its node's range: a flow of its own each, also for a kernel that hashes addresses only.
FIRST_POD_HOST = 2
POD_ADDRESSES = 16
POD = "/run/netns/pod"
# kubernetes/kubernetes pkg/proxy/iptables/proxier.go: chain KUBE-FORWARD, in front of everybody's rules.
_KUBE_PROXY = """\
*filter
:KUBE-FORWARD - [0:0]
-I FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def pod_addresses(node: NodePlan) -> list[str]:
    return [str(node.pod_cidr[FIRST_POD_HOST + number]) for number in range(POD_ADDRESSES)]


def lay_files(machine: Machine, node: NodePlan, region: RegionPlan, plan: NetworkPlan) -> None:
    machine.put("/etc/tailspan/network.env", hostnetwork.network_env(node, region, plan, ENDPOINT))
    machine.put("/etc/tailspan/network.nft", hostnetwork.nftables(node, region, plan))
    machine.put("/usr/local/lib/tailspan/network.sh", (FILES / "network.sh").read_text(), 0o755)
    machine.put("/etc/tailspan/kube-proxy.rules", _KUBE_PROXY)


def start(machine: Machine, node: NodePlan) -> None:
    """After the cable: routes, rules and packet filter of the product, kube-proxy's drop, and the pod."""
    gateway, length = node.pod_cidr[1], node.pod_cidr.prefixlen
    addresses = "\n".join(f"ip -n pod addr add {ip}/{length} dev eth0" for ip in pod_addresses(node))
    machine.sh(
        f"""
        ip link add cni0 type bridge
        ip addr add {gateway}/{length} dev cni0
        ip link set cni0 up
        ip netns add pod
        ip -n pod link set lo up
        ip link add pod0 type veth peer name eth0 netns pod
        ip link set pod0 master cni0 up
        {addresses}
        ip -n pod link set eth0 up
        ip -n pod route add default via {gateway}
        /usr/local/lib/tailspan/network.sh up
        """
    )
    start_kube_proxy(machine)


def start_kube_proxy(machine: Machine) -> None:
    """
    Its drop of what conntrack calls invalid. A gateway joins before kube-proxy runs, so Tailscale's chain, which
    accepts everything from and to its device, stands behind it; after a restart of tailscaled it stands in front.
    """
    machine.sh(
        """
        iptables -w -D FORWARD -j KUBE-FORWARD 2>/dev/null || true
        iptables-restore -w --noflush </etc/tailspan/kube-proxy.rules
        """
    )
