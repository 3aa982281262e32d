"""What the machines of a node group have each for themselves, and blanks in its place.

Their scripts differ in four values. Rendered once with blanks, a script is sent to a thousand machines without being
kept a thousand times in the stack's state.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from network.plan import NodePlan

# Filled in on the machine, by `fill_node` of files/node.sh.
NODE_NAME = "@NODE_NAME@"
NODE_IP = "@NODE_IP@"
POD_CIDR = "@POD_CIDR@"
BOOTSTRAP_TOKEN = "@BOOTSTRAP_TOKEN@"
BLANKS = (NODE_NAME, NODE_IP, POD_CIDR, BOOTSTRAP_TOKEN)


class _BlankAddress(IPv4Address):
    """An address that is written as a blank; to calculate with it would be a mistake, it is 0.0.0.0."""

    def __str__(self) -> str:
        return NODE_IP


class _BlankRange(IPv4Network):
    """The same for a range."""

    def __str__(self) -> str:
        return POD_CIDR


def blank_worker(region: str) -> NodePlan:
    """A worker of a group, no one in particular."""
    return NodePlan(
        name=NODE_NAME,
        region=region,
        role="worker",
        node_ip=_BlankAddress(0),
        pod_cidr=_BlankRange("0.0.0.0/32"),
        device=False,
        advertise=(),
        machine_type=None,
        machine=None,
    )


def group_values(node: NodePlan, token: str) -> dict[str, str]:
    """The shell variables of one machine; `token` is a secret."""
    return {
        "NODE_NAME": node.name,
        "NODE_IP": str(node.node_ip),
        "POD_CIDR": str(node.pod_cidr),
        "BOOTSTRAP_TOKEN": token,
    }
