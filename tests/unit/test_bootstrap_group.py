"""The one script of a node group's machines writes on each what a script of its own would."""

from __future__ import annotations

import shlex
from ipaddress import IPv4Address

import pytest
import yaml

from bootstrap.gateway import Tailnet
from bootstrap.group import BLANKS, blank_worker, group_values
from bootstrap.images import Images
from bootstrap.script import Cluster, Join, group_script, node_script
from network.plan import NodePlan, plan_network
from tests.components.node_scripts import check_syntax, values_in, written_by
from tests.stacks import stack

TOKEN = "abc123.0123456789abcdef"
CA = "-----BEGIN CERTIFICATE-----\ncluster\n-----END CERTIFICATE-----\n"
KUBECONFIG = "/etc/kubernetes/bootstrap-kubelet.conf"
NETWORK = "/etc/tailspan/network.env"

PLAN = plan_network(stack(("regions.0.node_groups", [{"name": "cpu", "count": 12, "first_ip": "10.0.0.40"}])))
NODES = [node for node in PLAN.hub.nodes if node.group]
CLUSTER = Cluster(
    plan=PLAN,
    images=Images(tailscale_version="1.102.3"),
    version="1.33.1",
    endpoint="api.dev.tailspan.internal",
    unreachable_seconds=3600,
    tailnet=Tailnet(login_server=None, private_ca=False, advertise_tags=True),
)
SHARED = group_script(CLUSTER, PLAN.hub, CA)


def sent_to(node: NodePlan) -> str:
    """As ops/ puts it together."""
    values = group_values(node, TOKEN).items()
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values) + SHARED


def alone(node: NodePlan) -> str:
    return node_script(CLUSTER, PLAN.hub, node, Join(ca=CA, token=TOKEN))


def peers(env: str) -> set[str]:
    return {
        peer
        for line in env.splitlines()
        if line.startswith("PEERS=")
        for peer in shlex.split(line[6:])[0].split()
    }


# The first, one whose number has two digits (its neighbour's begins the same), the last.
@pytest.mark.parametrize("node", [NODES[0], NODES[9], NODES[-1]], ids=str)
def test_a_machine_of_a_group_gets_the_files_of_a_single_one(node: NodePlan) -> None:
    check_syntax(sent_to(node))
    single, shared = written_by(alone(node)), written_by(sent_to(node))
    assert {path for path in single if shared[path] != single[path]} <= {NETWORK, KUBECONFIG}
    assert shared.keys() == single.keys()
    assert yaml.safe_load(shared[KUBECONFIG]) == yaml.safe_load(single[KUBECONFIG])
    # All of a group have one list of peers, so each is in its own; network.sh passes itself over.
    assert peers(shared[NETWORK]) - peers(single[NETWORK]) == {f"{node.node_ip}={node.pod_cidr}"}
    others = [
        [line for line in files[NETWORK].splitlines() if "PEERS" not in line] for files in (single, shared)
    ]
    assert others[0] == others[1]


def test_a_machine_knows_its_name_before_the_script_begins() -> None:
    assert values_in(sent_to(NODES[2]), "NODE_NAME", "DEVICE") == {"NODE_NAME": "hub-cpu-3", "DEVICE": "no"}


def test_no_blank_is_left_on_a_machine_and_no_value_in_the_shared_script() -> None:
    left = [
        path for path, text in written_by(sent_to(NODES[0])).items() if any(blank in text for blank in BLANKS)
    ]
    assert left == []
    assert TOKEN not in SHARED
    assert not [node.name for node in NODES if node.name in SHARED]


def test_a_blank_address_is_written_as_a_blank_and_is_nobodys() -> None:
    node = blank_worker("hub")
    assert (f"{node.node_ip}", str(node.pod_cidr)) == ("@NODE_IP@", "@POD_CIDR@")
    assert node.node_ip == IPv4Address(0)
    assert node.node_ip not in PLAN.hub.node_cidr


def test_a_token_is_filled_in_without_starting_a_program() -> None:
    # What a program is given as an argument, everybody on the machine can read.
    body = SHARED[SHARED.index("fill_node() {") :]
    body = body[: body.index("\n}\n")]
    words = {line.split()[0] for line in body.splitlines()[1:] if line.strip()}
    assert {word.split("=")[0] for word in words} <= {"local", "IFS", "text", "printf"}
