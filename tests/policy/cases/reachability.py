"""Cases of the rules about reaching gateways."""

from __future__ import annotations

import base64
from typing import Any

from pulumi_policy import PolicyResource

from policy.rules.known import (
    ADDRESS_MAP,
    AWS_ROUTE,
    AWS_ROUTE_TABLE,
    AWS_SUBNET,
    GCP_FIREWALL,
    GCP_INSTANCE,
    GCP_ROUTE,
    LAB_FIREWALL,
    LAB_MACHINE,
    LAB_NETWORK,
    REGION_TYPES,
)
from tests.policy.judge import UNKNOWN, Cases, case, resource
from tests.policy.strangers import (
    EVERYTHING,
    NETWORK,
    SCRIPT,
    SUBNET,
    SUBNETWORK,
    VPC,
    WIREGUARD,
    address_of,
    address_on,
    association_of,
    aws_vm,
    egress,
    gcp_firewall,
    gcp_vm,
    group,
    ingress,
    interface,
    old_rule,
    on_interface,
    prefix_list,
    rule,
)
from tests.policy.workloads import DAEMON_SET, POD, daemon_set, edited, machine, pod

OPEN = {"protocol": "udp", "port": 41641.0, "source": "0.0.0.0/0"}
SSH = {"protocol": "tcp", "port": 22.0, "source": "198.51.100.1/32"}
GCP_OPEN = {
    "allows": [{"protocol": "udp", "ports": ["41641"]}],
    "sourceRanges": ["0.0.0.0/0"],
    "targetTags": ["tailspan-gateway"],
}
SSH_ONLY = [{"protocol": "tcp", "ports": ["22"]}]
SMTP = [{"protocol": "tcp", "ports": ["25"]}]
# A machine of another trade, which no rule may touch.
DATABASE = resource(
    GCP_INSTANCE,
    "database",
    {
        "tags": ["db"],
        "networkInterfaces": [{"subnetwork": UNKNOWN}],
        "metadataStartupScript": "apt install -y postgresql",
    },
    networkInterfaces=[SUBNETWORK],
)
API_GATEWAY = aws_vm("api-gateway", group("web"), userData=None, sourceDestCheck=None)
EDGE = group(ingress=[WIREGUARD], egress=[EVERYTHING])
CLOSED = group()
ENCODED = base64.b64encode(SCRIPT.encode()).decode()
PRIVATE = resource(AWS_SUBNET, "private", {"cidrBlock": "10.0.9.0/24", "vpcId": UNKNOWN}, vpcId=[VPC])
HUB = {"name": "hub", "nodeCidr": "10.0.0.0/24", "podCidr": "10.128.0.0/16"}
GPU = {"name": "gpu", "nodeCidr": "10.1.0.0/24", "podCidr": "10.129.0.0/16"}
MAP = resource(ADDRESS_MAP, "addresses", {"serviceCidr": "10.96.0.0/16", "regions": [HUB, GPU]})
TABLE = resource(
    AWS_ROUTE_TABLE,
    "public",
    {"vpcId": UNKNOWN, "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": UNKNOWN}]},
    vpcId=[VPC],
)
# Another use of Tailscale in a cluster: a proxy of one Service, which advertises nothing.
OPERATOR = resource(
    DAEMON_SET,
    "operator",
    {
        "kind": "DaemonSet",
        "spec": {
            "template": {"spec": {"containers": [{"name": "proxy", "image": "tailscale/tailscale:v1.102.3"}]}}
        },
    },
)


def allow(name: str, priority: int, **props: Any) -> PolicyResource:
    return gcp_firewall(name, priority=float(priority), **props)


def deny(name: str, priority: int, **props: Any) -> PolicyResource:
    return allow(name, priority, **{"allows": None, "denies": [{"protocol": "all"}], **props})


def aws_route(cidr: str) -> PolicyResource:
    props = {"routeTableId": UNKNOWN, "destinationCidrBlock": cidr, "networkInterfaceId": UNKNOWN}
    return resource(AWS_ROUTE, f"to-{cidr}", props, routeTableId=[TABLE])


def gcp_route(cidr: str) -> PolicyResource:
    props = {"destRange": cidr, "network": UNKNOWN, "nextHopInstance": UNKNOWN}
    return resource(GCP_ROUTE, f"to-{cidr}", props, network=[NETWORK])


def lab_machine(**props: Any) -> PolicyResource:
    inputs = {"name": "gpu-a", "network": "gpu", "role": "gateway", "nodeIp": "10.1.0.10", **props}
    return resource(LAB_MACHINE, "gpu-a", inputs)


def lab_network(nat: str | None) -> PolicyResource:
    return resource(LAB_NETWORK, "gpu", {"name": "gpu", "cidr": "10.1.0.0/24", "lan": "l2", "nat": nat})


CASES = {
    "regions-open-udp-41641": Cases(
        passes=[
            case(resource(REGION_TYPES[1], "gpu", {"name": "gpu", "gatewayFirewall": [SSH, OPEN]})),
            case(resource(REGION_TYPES[1], "gpu", {"noInbound": "the campus dials", "gatewayFirewall": []})),
            case(
                resource(
                    REGION_TYPES[0],
                    "hub",
                    {"gatewayFirewall": [OPEN | {"source": "0.0.0.0/1"}, OPEN | {"source": "128.0.0.0/1"}]},
                )
            ),
        ],
        refuses=[
            case(
                resource(REGION_TYPES[1], "gpu", {"name": "gpu", "gatewayFirewall": [SSH]}),
                said="region gpu: UDP 41641 is not open",
            ),
            case(
                resource(REGION_TYPES[1], "gpu", {"name": "gpu", "noInbound": "", "gatewayFirewall": [SSH]}),
                said="region gpu: UDP 41641 is not open",
            ),
        ],
    ),
    "firewalls-open-udp-41641": Cases(
        passes=[
            case(resource(GCP_FIREWALL, "wireguard", GCP_OPEN)),
            case(gcp_vm(), gcp_firewall(), DATABASE, API_GATEWAY),
            case(gcp_vm(), allow("open", 900), deny("deny", 1000)),
            case(gcp_vm(), allow("open", 1000), deny("some", 900, sourceRanges=["192.0.2.0/24"])),
            case(gcp_vm(), allow("open", 1000), deny("off", 900, disabled=True)),
            case(gcp_vm(), gcp_firewall(targetTags=None, targetServiceAccounts=[UNKNOWN])),
            # Its network is another stack's, and so may its firewall be.
            case(resource(GCP_INSTANCE, "r", {"metadataStartupScript": SCRIPT, "tags": ["edge"]})),
            case(aws_vm("router-1", EDGE), EDGE),
            case(aws_vm("router-1", CLOSED, EDGE), CLOSED, EDGE),
            case(on_interface(interface(EDGE)), EDGE),
            case(aws_vm("router-1", CLOSED), CLOSED, ingress(CLOSED, cidrIpv4="0.0.0.0/0")),
            case(
                aws_vm("router-1", CLOSED), CLOSED, old_rule(CLOSED, "ingress", fromPort=41000, toPort=42000)
            ),
            case(
                aws_vm("router-1", CLOSED),
                CLOSED,
                rule(
                    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
                    CLOSED,
                    [prefix_list("0.0.0.0/1", "128.0.0.0/1")],
                    ipProtocol="udp",
                    fromPort=41641,
                    toPort=41641,
                    prefixListId=UNKNOWN,
                ),
            ),
        ],
        refuses=[
            case(
                resource(GCP_FIREWALL, "wireguard", GCP_OPEN | {"sourceRanges": ["10.0.0.0/8"]}),
                said="machines tagged tailspan-gateway: UDP 41641 is not open",
            ),
            case(gcp_vm(), NETWORK, said="gateway router-1: UDP 41641 is not open"),
            case(gcp_vm(), allow("open", 1000), deny("all", 900), said="gateway router-1: UDP 41641"),
            case(gcp_vm(), allow("open", 1000), deny("same", 1000), said="of a smaller priority number"),
            case(gcp_vm(tags=["other"]), gcp_firewall(), said="targetTags other"),
            case(
                gcp_vm(), gcp_firewall(sourceRanges=UNKNOWN), said="firewall wireguard: could not be judged"
            ),
            case(gcp_vm(), gcp_firewall(targetTags=UNKNOWN), said="input targetTags is not known"),
            case(aws_vm("router-1", CLOSED), CLOSED, said="rule with protocol udp, ports 41641 to 41641"),
            case(on_interface(interface(CLOSED)), CLOSED, said="gateway router-1: UDP 41641 is not open"),
            case(
                aws_vm("router-1", CLOSED, userData=None, userDataBase64=ENCODED),
                CLOSED,
                old_rule(CLOSED, "egress"),
                said="gateway router-1: UDP 41641 is not open",
            ),
            case(
                aws_vm("router-1", CLOSED),
                CLOSED,
                ingress(CLOSED, prefixListId="pl-0123"),
                said="prefix list pl-0123 is not of this stack. Write cidrIpv4: 0.0.0.0/0 instead.",
            ),
            case(
                resource(LAB_FIREWALL, "gpu", {"network": "gpu", "target": "gateways", "ingress": [SSH]}),
                said="write {protocol: udp, port: 41641, source: 0.0.0.0/0} under gateway_firewall of region gpu",
            ),
        ],
    ),
    "firewalls-let-gateways-out": Cases(
        passes=[
            case(gcp_vm(), gcp_firewall()),
            case(
                gcp_vm(),
                gcp_firewall(),
                deny(
                    "no-smtp",
                    500,
                    direction="EGRESS",
                    sourceRanges=None,
                    denies=[{"protocol": "tcp", "ports": ["25"]}],
                ),
            ),
            case(
                gcp_vm(),
                deny("no-lan", 500, direction="EGRESS", sourceRanges=None, destinationRanges=["10.0.0.0/8"]),
            ),
            case(
                gcp_vm(),
                allow("out", 400, direction="EGRESS", sourceRanges=None, allows=[{"protocol": "all"}]),
                deny("rest", 500, direction="EGRESS", sourceRanges=None),
            ),
            case(aws_vm("router-1", EDGE), EDGE),
            case(aws_vm("router-1", CLOSED), CLOSED, egress(CLOSED)),
            case(resource(LAB_FIREWALL, "gpu", {"network": "gpu", "target": "gateways", "ingress": [OPEN]})),
        ],
        refuses=[
            case(
                gcp_vm(),
                deny("rest", 500, direction="EGRESS", sourceRanges=None, targetTags=None),
                said="gateway router-1: TCP 443 may not leave for 0.0.0.0/0",
            ),
            case(
                gcp_vm(),
                deny("web", 500, direction="EGRESS", denies=[{"protocol": "tcp", "ports": ["80"]}]),
                said="gateway router-1: TCP 80 may not leave",
            ),
            case(
                gcp_vm(),
                deny("udp", 500, direction="EGRESS", denies=[{"protocol": "udp"}]),
                said="gateway router-1: UDP 3478 may not leave",
            ),
            case(
                aws_vm("router-1", CLOSED),
                CLOSED,
                ingress(CLOSED, cidrIpv4="0.0.0.0/0"),
                said="add an egress rule with protocol tcp, ports 443 to 443 and 0.0.0.0/0 to security group edge",
            ),
            case(
                aws_vm("router-1", CLOSED),
                CLOSED,
                egress(CLOSED, ipProtocol="tcp", fromPort=443, toPort=443),
                said="gateway router-1: UDP 41641 may not leave",
            ),
        ],
    ),
    "gateways-have-a-public-address": Cases(
        passes=[
            case(gcp_vm(), DATABASE, API_GATEWAY),
            case(aws_vm(), SUBNET),
            case(aws_vm(subnet=PRIVATE, associatePublicIpAddress=True)),
            case(aws_vm(subnet=PRIVATE), address_of(aws_vm())),
            case(aws_vm(subnet=PRIVATE), association_of(aws_vm())),
            case(on_interface(interface()), address_on(interface())),
            case(lab_machine(public=True)),
            case(lab_machine(public=False), lab_network("easy")),
            case(lab_machine(public=False, role="worker"), lab_network(None)),
        ],
        refuses=[
            case(
                gcp_vm(networkInterfaces=[{"subnetwork": UNKNOWN}]),
                said="gateway router-1: has no public address",
            ),
            case(aws_vm(subnet=PRIVATE), said="Write associatePublicIpAddress: true, or give it an Eip."),
            case(
                aws_vm(associatePublicIpAddress=False), SUBNET, said="gateway router-1: has no public address"
            ),
            case(aws_vm(subnet=PRIVATE), address_of(aws_vm("other")), said="has no public address"),
            case(lab_machine(public=False), lab_network(None), said="Write public: true"),
            case(
                gcp_vm(networkInterfaces=[{"subnetwork": UNKNOWN, "accessConfigs": UNKNOWN}]),
                said="could not be judged, input networkInterfaces.0.accessConfigs is not known",
            ),
        ],
    ),
    "gateways-may-forward": Cases(
        passes=[
            case(gcp_vm(), aws_vm(), DATABASE, API_GATEWAY),
            case(on_interface(interface(sourceDestCheck=False))),
        ],
        refuses=[
            case(on_interface(interface()), said="Write sourceDestCheck: false on eth0."),
            case(gcp_vm(canIpForward=None), said="Write canIpForward: true."),
            case(
                gcp_vm("tailscale-router", canIpForward=False, metadataStartupScript=None),
                said="canIpForward",
            ),
            case(aws_vm(sourceDestCheck=True), said="Write sourceDestCheck: false on router-1."),
            case(
                aws_vm("subnet-router-a", sourceDestCheck=None, userData=None), said="sourceDestCheck: false"
            ),
        ],
    ),
    "gateway-pods-use-the-host-network": Cases(
        passes=[case(machine(), daemon_set(), OPERATOR), case(machine(TS_ROUTES=...), OPERATOR)],
        refuses=[
            case(
                daemon_set("r", ((*POD, "hostNetwork"), False)),
                said="Write hostNetwork: true in the pod's spec.",
            ),
            case(daemon_set("r", ((*POD, "hostNetwork"), UNKNOWN)), said="could not be judged"),
            case(machine(manifest=edited(pod(), "spec", "hostNetwork", to=None)), said="gateway Pod"),
        ],
    ),
    "gateway-pods-have-the-open-port": Cases(
        passes=[
            case(machine(PORT="41641"), daemon_set(PORT="41641"), OPERATOR),
            case(machine(TS_TAILSCALED_EXTRA_ARGS="--verbose=1 --port=41641")),
        ],
        refuses=[
            case(machine(), said="PORT is not set, so tailscaled takes any"),
            case(daemon_set(PORT="41642"), said="PORT is 41642, and firewalls open UDP 41641"),
            case(daemon_set(PORT=UNKNOWN), said="could not be judged"),
        ],
    ),
    "cloud-routes-reach-every-region": Cases(
        passes=[
            case(MAP, VPC, SUBNET, TABLE, aws_route("10.1.0.0/24"), aws_route("10.129.0.0/16")),
            case(MAP, VPC, SUBNET, TABLE, aws_route("10.1.0.0/24"), aws_route("10.128.0.0/9")),
            case(MAP, NETWORK, SUBNETWORK, gcp_route("10.1.0.0/24"), gcp_route("10.129.0.0/16")),
            # No routes at all: its nodes have a way of their own.
            case(MAP, NETWORK, SUBNETWORK),
            # All its machines are devices of the tailnet.
            case(MAP, VPC, SUBNET, TABLE, resource(REGION_TYPES[0], "hub", HUB | {"mode": "per-node"})),
            # No region of the map is made in this network.
            case(VPC, SUBNET, TABLE),
            case(MAP, NETWORK, SUBNETWORK, VPC, TABLE, gcp_route("10.0.0.0/8")),
        ],
        refuses=[
            case(
                MAP, VPC, SUBNET, TABLE, said="route table public: has no route to 10.1.0.0/24 of region gpu"
            ),
            case(
                MAP,
                VPC,
                SUBNET,
                TABLE,
                resource(REGION_TYPES[0], "hub", HUB | {"mode": "gateway"}),
                said="route table public: has no route to 10.1.0.0/24 of region gpu",
            ),
            case(
                MAP,
                VPC,
                SUBNET,
                TABLE,
                aws_route("10.1.0.0/24"),
                said="Add a route to 10.129.0.0/16 by way of region hub's gateways.",
            ),
            case(
                MAP,
                NETWORK,
                SUBNETWORK,
                gcp_route("10.129.0.0/16"),
                said="routes of network main: has no route to 10.1.0.0/24 of region gpu",
            ),
            case(MAP, VPC, SUBNET, TABLE, aws_route(UNKNOWN), said="input destinationCidrBlock is not known"),
        ],
    ),
}
