"""A hub whose control plane is EKS: what is made, who reaches it, and what makes a machine elsewhere a hybrid node."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from cryptography import x509

from network.plan import plan_network
from providers.aws_eks import node_image
from providers.eks_pki import authority
from tests.components.deploy import CLUSTER_CA, MANAGED_URL, SEED, deployed
from tests.components.managed import eks
from tests.components.recording import Recording, Resource, texts
from tests.components.sdk_inputs import problems

NAME = "hub-359a8b"
HYBRID = ("tx-a", "tx-b")
GATEWAYS = ("hub-gw-1", "hub-gw-2")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return deployed(eks())


def policy(role: Resource) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = json.loads(role.value("assumeRolePolicy"))["Statement"]
    return statements


def test_the_sdk_would_take_every_input(recording: Recording) -> None:
    made = [item for item in recording.resources.values() if item.type.startswith("aws:")]
    assert len(made) > 30
    found = [line for item in made for line in problems(item.type, item.inputs)]
    # IAM takes its documents as text, too, which the comparison does not know.
    documents = ("Role.assumeRolePolicy:", "RolePolicy.policy:")
    assert [line for line in found if not line.startswith(documents)] == []


def test_a_preview_and_an_update_make_the_same(recording: Recording) -> None:
    assert deployed(eks(), preview=True).resources.keys() == recording.resources.keys()


def test_everything_of_amazons_goes_by_the_regions_account(recording: Recording) -> None:
    made = [item for item in recording.resources.values() if item.type.startswith("aws:")]
    assert len(made) > 30
    assert {item.provider for item in made} == {"aws-us-east-1"}


def test_the_cluster_knows_the_other_regions_ranges(recording: Recording) -> None:
    cluster = recording["hub-eks"]
    assert cluster.value("name") == NAME
    assert cluster.value("version") == "1.35"
    assert cluster.value("remoteNetworkConfig") == {
        "remoteNodeNetworks": {"cidrs": ["10.3.0.0/24"]},
        "remotePodNetworks": {"cidrs": ["10.135.0.0/16"]},
    }
    assert cluster.value("kubernetesNetworkConfig") == {"serviceIpv4Cidr": "10.96.0.0/16"}
    assert cluster.value("accessConfig")["authenticationMode"] == "API"


def test_a_cluster_is_not_lost_by_accident(recording: Recording) -> None:
    assert recording["hub-eks"].protect
    assert recording["hub-eks"].value("deletionProtection") is True
    before = recording.before("hub-eks")
    assert not [name for name in before if "gw" in name or "join" in name]


def test_the_endpoint_is_private_and_answers_the_gateways(recording: Recording) -> None:
    network = recording["hub-eks"].value("vpcConfig")
    assert (network["endpointPrivateAccess"], network["endpointPublicAccess"]) == (True, False)
    rule = recording["hub-eks-endpoint-gateways"]
    assert (rule.value("fromPort"), rule.value("cidrIpv4")) == (443, "10.0.0.0/23")
    assert network["securityGroupIds"] == [rule.value("securityGroupId")]
    # Its name can be looked up in the VPC only with both.
    assert recording["hub-vpc"].value("enableDnsHostnames") is True
    assert recording["hub-vpc"].value("enableDnsSupport") is True


def test_subnets_lie_in_the_regions_ranges_and_in_two_zones(recording: Recording) -> None:
    hub = plan_network(eks()).hub
    subnets = recording.of("ec2/subnet:Subnet")
    blocks = {name: IPv4Network(item.value("cidrBlock")) for name, item in subnets.items()}
    assert blocks.pop("hub-eks-workers").subnet_of(hub.pod_cidr)
    assert all(block.subnet_of(hub.node_cidr) for block in blocks.values())
    assert blocks["hub-subnet"] == hub.machine_cidr
    whole = list(blocks.values())
    assert not [(a, b) for a in whole for b in whole if a is not b and a.overlaps(b)]
    zones = {subnets[f"hub-eks-endpoint-{number}"].value("availabilityZone") for number in (1, 2)}
    assert zones == {"us-east-1a", "us-east-1b"}


def test_every_subnet_has_the_table_that_leads_to_other_regions(recording: Recording) -> None:
    associations = recording.of("RouteTableAssociation").values()
    routed = {item.value("subnetId") for item in associations}
    assert routed == {f"{name}-id" for name in recording.of("ec2/subnet:Subnet")}
    (table,) = {item.value("routeTableId") for item in associations}
    routes = [
        item for item in recording.of("ec2/route:Route").values() if item.value("routeTableId") == table
    ]
    assert {"10.3.0.0/24", "10.135.0.0/16"} <= {item.value("destinationCidrBlock") for item in routes}


def test_its_pods_keep_their_addresses_towards_other_regions(recording: Recording) -> None:
    addon = recording["hub-eks-vpc-cni"]
    env = json.loads(addon.value("configurationValues"))["env"]
    assert env == {"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.135.0.0/16,10.3.0.0/24"}
    assert "hub-eks-vpc-cni" in recording.before("hub-cpu")
    assert recording["hub-cpu"].value("scalingConfig")["desiredSize"] == 2


def test_a_machine_can_only_be_itself(recording: Recording) -> None:
    """Without the condition on its name a certificate of one machine would be good for all of them."""
    (tagging, assuming) = policy(recording["hub-eks-hybrid-role"])
    anchor = recording["hub-eks-anchor"]
    assert assuming["Action"] == ["sts:AssumeRole"]
    assert assuming["Condition"]["StringEquals"] == {
        "sts:RoleSessionName": "${aws:PrincipalTag/x509Subject/CN}"
    }
    for statement in (tagging, assuming):
        assert statement["Condition"]["ArnEquals"] == {
            "aws:SourceArn": f"arn:aws:rolesanywhere:{anchor.name}"
        }
    assert recording["hub-eks-profile"].value("acceptRoleSessionName") is True
    entry = recording["hub-eks-hybrid-entry"]
    assert (entry.value("type"), entry.value("principalArn")) == (
        "HYBRID_LINUX",
        "arn:aws:iam::123456789012:role/hub-eks-hybrid-role",
    )


def test_the_authority_is_public_and_no_key_is(recording: Recording) -> None:
    source = recording["hub-eks-anchor"].value("source")
    assert source["sourceData"]["x509CertificateData"] == authority(SEED)
    plain = [text for item in recording.resources.values() for text in texts(item.inputs, secrets=False)]
    assert not [text for text in plain if "PRIVATE KEY" in text or SEED in text or "tskey-auth" in text]


@pytest.mark.parametrize("name", HYBRID)
def test_machines_elsewhere_become_hybrid_nodes(recording: Recording, name: str) -> None:
    script = recording[f"{name}-bootstrap"].secret("stdin")
    config = yaml.safe_load(heredoc(script, "/etc/tailspan/nodeadm.yaml"))["spec"]
    assert config["cluster"] == {"name": NAME, "region": "us-east-1"}
    assert config["hybrid"]["iamRolesAnywhere"]["nodeName"] == name
    assert config["kubelet"]["flags"] == [f"--node-ip={'10.3.0.10' if name == 'tx-a' else '10.3.0.11'}"]
    assert config["kubelet"]["config"]["staticPodPath"] == "/etc/kubernetes/manifests"
    pem = heredoc(script, "/etc/iam/pki/server.pem")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.subject.rfc4514_string() == f"CN={name}"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority(SEED).encode()))
    # Neither a token nor a certificate of Kubernetes: IAM says who it is.
    assert "bootstrap-kubelet.conf" not in script.replace("rm -f /etc/kubernetes/bootstrap-kubelet.conf", "")


def heredoc(script: str, path: str) -> str:
    after = script[script.index(f" {path} <<") :].partition("\n")[2]
    return after[: after.index("TAILSPAN_END_OF_FILE")]


@pytest.mark.parametrize("name", HYBRID)
def test_they_are_declared_as_amazon_expects_them(recording: Recording, name: str) -> None:
    request = json.loads(recording[f"{name}-join"].secret("stdin"))
    assert request["token"] is None
    assert "admission" not in request
    assert request["node"]["provider_id"] == f"eks-hybrid:///us-east-1/{NAME}/{name}"
    assert request["node"]["labels"]["eks.amazonaws.com/compute-type"] == "hybrid"
    assert {"hub-eks-hybrid-entry", "hub-cpu"} <= recording.before(f"{name}-join")


@pytest.mark.parametrize("name", GATEWAYS)
def test_gateways_in_the_vpc_are_no_nodes(recording: Recording, name: str) -> None:
    """EKS refuses hybrid nodes inside the VPC."""
    assert f"{name}-join" not in recording.resources
    script = recording[f"{name}-bootstrap"].secret("stdin")
    assert "nodeadm.yaml <<" not in script
    assert "apiserver-connector" in script
    assert "/etc/systemd/system/kubelet.service <<" not in script
    assert recording[f"{name}-device"].inputs["delete"] == "python -m ops v1 device-delete"


def test_the_operators_way_is_there_before_anything_in_the_cluster(recording: Recording) -> None:
    for kind in ("core/v1:Namespace", "apps/v1:Deployment"):
        for item in recording.of(kind).values():
            provider = recording[item.provider]
            assert {f"{name}-bootstrap" for name in GATEWAYS} <= recording.before(provider.name)


def test_gateways_lend_other_regions_their_address_at_the_endpoint_only(recording: Recording) -> None:
    script = recording["hub-gw-1-bootstrap"].secret("stdin")
    assert (
        "ip daddr { 10.0.3.224/28, 10.0.3.240/28 } tcp dport 443 ip saddr != 10.0.0.20 masquerade" in script
    )


def test_the_operators_kubeconfig_holds_no_credential(recording: Recording) -> None:
    kubeconfig = yaml.safe_load(recording["hub-cluster"].secret("kubeconfig"))
    assert kubeconfig["clusters"][0]["cluster"]["server"] == MANAGED_URL
    authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority).decode() == CLUSTER_CA
    assert set(kubeconfig["users"][0]["user"]) == {"exec"}


def bash(text: str) -> str:
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


@pytest.mark.parametrize("name", [*HYBRID, *GATEWAYS])
def test_a_machine_that_leaves_takes_off_what_is_amazons_and_what_is_ours(
    recording: Recording, name: str
) -> None:
    """The role's `leave` calls the one of node.sh, under another name."""
    script = recording[f"{name}-bootstrap"].secret("stdin")
    functions = script[: script.index("# A second operator run waits")]
    said = bash(functions + "\ndeclare -f leave leave_node\n")
    ours, _, theirs = said.partition("leave_node ()")
    assert "nodeadm uninstall" in ours
    assert "rm -rf /etc/iam/pki" in ours
    assert "tailspan-network" in theirs
    assert "leave_node" not in theirs


STEPS = 'systemctl() { echo "systemctl $*"; [ $1 != is-active ]; }\nsystemd-run() { :; }\n' + "\n".join(
    f"{step}() {{ echo {step}; }}"
    for step in ("connector", "agent_manifest", "wait_for_connector", "wait_for_forwarding", "hybrid_node")
)


@pytest.mark.parametrize("name", ["tx-a", "hub-gw-1"])
def test_the_way_to_the_api_server_comes_before_nodeadm(recording: Recording, name: str) -> None:
    script = recording[f"{name}-bootstrap"].secret("stdin")
    functions = script[: script.index("# A second operator run waits")]
    here = functions.replace("/etc/", "$ROOT/etc/").replace('[ "$(id -u)"', "[ 0")
    said = bash(
        f"ROOT=$(mktemp -d)\n{here}\n{STEPS}\nPENDING=$ROOT/pending\nmachine_role\nrm -rf $ROOT\n"
    ).split("\n")
    steps = [line for line in said if not line.startswith("systemctl")]
    expected = ["connector", "agent_manifest", "wait_for_connector"]
    expected += ["hybrid_node"] if name == "tx-a" else []
    assert steps == [*expected, "wait_for_connector", "wait_for_forwarding", ""]
    assert "systemctl restart tailspan-kubelet" in said


# What EC2 lets a description be
# (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html).
DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{0,255}")


def test_amazon_takes_every_description_of_a_group_and_of_its_rules(recording: Recording) -> None:
    written = [
        (name, item.inputs["description"])
        for name, item in recording.resources.items()
        if "ecurityGroup" in item.type and item.inputs.get("description")
    ]
    assert written
    assert [(name, text) for name, text in written if not DESCRIPTION.fullmatch(text)] == []


@pytest.mark.parametrize(
    ("machine_type", "image"),
    [
        (None, "AL2023_x86_64_STANDARD"),
        ("m6i.xlarge", "AL2023_x86_64_STANDARD"),
        ("m7g.xlarge", "AL2023_ARM_64_STANDARD"),
        ("c7gn.large", "AL2023_ARM_64_STANDARD"),
        ("t4g.medium", "AL2023_ARM_64_STANDARD"),
        ("a1.large", "AL2023_ARM_64_STANDARD"),
        ("c6gd.metal", "AL2023_ARM_64_STANDARD"),
    ],
)
def test_the_nodes_image_is_for_their_processor(machine_type: str | None, image: str) -> None:
    assert node_image(machine_type) == image


def test_a_hybrid_node_may_ask_what_nodeadm_asks(recording: Recording) -> None:
    policy = json.loads(recording["hub-eks-hybrid-describe"].inputs["policy"])
    (statement,) = policy["Statement"]
    assert set(statement["Action"]) == {"eks:DescribeCluster", "eks:ListAccessEntries"}
