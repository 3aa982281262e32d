"""Which address ranges a resource has, whoever made it, and in what sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Network
from typing import Any

from .inputs import Props, known, number, rows, texts
from .known import (
    ADDRESS_MAP,
    AWS_EKS,
    AWS_SUBNET,
    AWS_VPC,
    AWS_VPC_BLOCK,
    GCP_CLUSTER,
    GCP_GLOBAL_ADDRESS,
    GCP_NETWORK,
    GCP_NODE_POOL,
    GCP_ROUTE,
    GCP_SUBNETWORK,
    LAB_NETWORK,
)

# The subnets that an auto mode network makes by itself (cloud.google.com/vpc/docs/subnets#ip-ranges).
AUTO_MODE = "10.128.0.0/9"


class Sense(Enum):
    PLANNED = auto()  # in the stack file; other resources make it
    SPACE = auto()  # around a network's subnets: a VPC
    SUBNET = auto()  # inside the space of its network
    NETWORK = auto()
    SERVICES = auto()  # addresses that only one cluster knows
    REMOTE = auto()  # somebody else's range, to which a cloud is told the way


@dataclass(frozen=True, kw_only=True)
class Field:
    """A CIDR-bearing input: who has it, where it is written, and its text."""

    owner: str
    field: str
    text: str
    urn: str
    sense: Sense = Sense.NETWORK
    site: str = ""  # the virtual network that it is in or (REMOTE) that is told of it; empty: not known
    remedy: str = ""  # where another text would be no remedy


@dataclass(frozen=True)
class Range:
    """A field whose text is a range."""

    source: Field
    cidr: IPv4Network

    def __str__(self) -> str:
        return f"{self.source.owner}: {self.source.field} {self.cidr}"


def fields(resource: Any) -> Iterator[Field]:
    """The ranges of a resource, as a resource rule or a stack rule is given it."""
    extract = _EXTRACTORS.get(resource.resource_type)
    return extract(resource) if extract else iter(())


def map_fields(resource: Any) -> Iterator[Field]:
    props, urn = resource.props, resource.urn

    def planned(owner: str, field: str, value: Any) -> Field:
        return Field(owner=owner, field=field, text=str(value), urn=urn, sense=Sense.PLANNED)

    if props.get("serviceCidr") is not None:
        yield planned("kubernetes", "service_cidr", props["serviceCidr"])
    for region in rows(props, "regions"):
        owner = f"region {region['name']}"
        yield planned(owner, "node_cidr", region["nodeCidr"])
        yield planned(owner, "pod_cidr", region["podCidr"])


def site(resource: Any, key: str) -> str:
    """
    The virtual network that an input refers to: by the engine's dependencies, because ids are not known before their
    resource exists; a network that is not of this stack by its name.
    """
    for owner in getattr(resource, "property_dependencies", {}).get(key, []):
        if owner.resource_type in (AWS_VPC, GCP_NETWORK):
            return str(owner.urn)
        if owner.resource_type in (AWS_SUBNET, GCP_SUBNETWORK):
            return site(owner, "vpcId" if owner.resource_type == AWS_SUBNET else "network")
    value = known(resource.props, key)
    return value.rsplit("/", 1)[-1] if isinstance(value, str) else ""


# A cloud's resource that exists has empty texts for ranges that it does not have.
_UNSET = (None, "")


def _one(resource: Any, key: str, owner: str, **more: Any) -> Iterator[Field]:
    value = resource.props.get(key)
    if value not in _UNSET:
        yield Field(owner=owner, field=key, text=str(value), urn=resource.urn, **more)


def _name(resource: Any) -> str:
    return str(resource.props.get("name") or resource.name)


def _lab_network(resource: Any) -> Iterator[Field]:
    yield from _one(resource, "cidr", f"lab network {_name(resource)}")


def _gcp_network(resource: Any) -> Iterator[Field]:
    if resource.props.get("autoCreateSubnetworks") is not False:
        yield Field(
            owner=f"network {_name(resource)}",
            field="autoCreateSubnetworks makes subnets in",
            text=AUTO_MODE,
            urn=resource.urn,
            sense=Sense.SPACE,
            site=resource.urn,
            remedy=f"set autoCreateSubnetworks: false on network {_name(resource)} and declare its subnetworks",
        )


def _gcp_subnetwork(resource: Any) -> Iterator[Field]:
    owner, network = f"subnetwork {_name(resource)}", site(resource, "network")
    yield from _one(resource, "ipCidrRange", owner, sense=Sense.SUBNET, site=network)
    for row in rows(resource.props, "secondaryIpRanges"):
        if row.get("ipCidrRange") not in _UNSET:
            yield Field(
                owner=f"{owner}, secondary range {row.get('rangeName')}",
                field="ipCidrRange",
                text=str(row["ipCidrRange"]),
                urn=resource.urn,
                sense=Sense.SUBNET,
                site=network,
            )


def _gcp_address(resource: Any) -> Iterator[Field]:
    """A block for Google's own services in the network (cloud.google.com/vpc/docs/private-services-access)."""
    props = resource.props
    address, length = props.get("address"), number(props.get("prefixLength"))
    if props.get("purpose") == "VPC_PEERING" and address is not None and length is not None:
        yield Field(
            owner=f"peering range {_name(resource)}",
            field="address",
            text=f"{address}/{length}",
            urn=resource.urn,
            site=site(resource, "network"),
        )


def _gcp_cluster(resource: Any) -> Iterator[Field]:
    owner, network = f"cluster {_name(resource)}", site(resource, "network")
    policy: Props = resource.props.get("ipAllocationPolicy") or {}
    private: Props = resource.props.get("privateClusterConfig") or {}
    found = [
        ("clusterIpv4Cidr", resource.props.get("clusterIpv4Cidr"), Sense.NETWORK),
        ("clusterIpv4CidrBlock", policy.get("clusterIpv4CidrBlock"), Sense.NETWORK),
        ("servicesIpv4CidrBlock", policy.get("servicesIpv4CidrBlock"), Sense.SERVICES),
        ("masterIpv4CidrBlock", private.get("masterIpv4CidrBlock"), Sense.NETWORK),
    ]
    told = _told(resource, "subnetwork", "privateClusterConfig")
    for field, value, sense in found:
        # A length alone ("/14") leaves the choice to GKE.
        if value and str(value) not in told and not str(value).startswith("/"):
            yield Field(
                owner=owner, field=field, text=str(value), urn=resource.urn, sense=sense, site=network
            )


def _told(resource: Any, *keys: str) -> set[str]:
    """
    Ranges of the subnetworks of this stack that a cluster was given. One that runs repeats them among its own
    properties, and they are judged where they are made.
    """
    owners = getattr(resource, "property_dependencies", {})
    subnetworks = [
        owner for key in keys for owner in owners.get(key, []) if owner.resource_type == GCP_SUBNETWORK
    ]
    return {field.text for subnetwork in subnetworks for field in _gcp_subnetwork(subnetwork)}


def _gcp_node_pool(resource: Any) -> Iterator[Field]:
    value = (resource.props.get("networkConfig") or {}).get("podIpv4CidrBlock")
    clusters = getattr(resource, "property_dependencies", {}).get("cluster", [])
    told = {text for cluster in clusters for text in _told(cluster, "subnetwork")}
    if value and str(value) not in told and not str(value).startswith("/"):
        yield Field(
            owner=f"node pool {_name(resource)}", field="podIpv4CidrBlock", text=str(value), urn=resource.urn
        )


def _gcp_route(resource: Any) -> Iterator[Field]:
    owner = f"route {_name(resource)}"
    yield from _remote(
        texts(resource.props, "destRange"), owner, "destRange", resource, site(resource, "network")
    )


def _aws_vpc(resource: Any) -> Iterator[Field]:
    yield from _one(resource, "cidrBlock", f"VPC {resource.name}", sense=Sense.SPACE, site=resource.urn)


def _aws_block(resource: Any) -> Iterator[Field]:
    owner = f"VPC block {resource.name}"
    yield from _one(resource, "cidrBlock", owner, sense=Sense.SPACE, site=site(resource, "vpcId"))


def _aws_subnet(resource: Any) -> Iterator[Field]:
    owner = f"subnet {resource.name}"
    yield from _one(resource, "cidrBlock", owner, sense=Sense.SUBNET, site=site(resource, "vpcId"))


def _aws_eks(resource: Any) -> Iterator[Field]:
    owner, vpc = f"EKS cluster {_name(resource)}", site(resource, "vpcConfig")
    services = (resource.props.get("kubernetesNetworkConfig") or {}).get("serviceIpv4Cidr")
    if services:
        yield Field(
            owner=owner, field="serviceIpv4Cidr", text=str(services), urn=resource.urn,
            sense=Sense.SERVICES, site=vpc,
        )  # fmt: skip
    remote: Props = resource.props.get("remoteNetworkConfig") or {}
    for key in ("remoteNodeNetworks", "remotePodNetworks"):
        yield from _remote(texts(remote.get(key) or {}, "cidrs"), owner, key, resource, vpc)


def _remote(values: list[str], owner: str, field: str, resource: Any, told: str) -> Iterator[Field]:
    for text in values:
        # A default route is no range of anybody's, and IPv6 is none of ours.
        if ":" not in text and not text.startswith("0.0.0.0/0"):
            yield Field(owner=owner, field=field, text=text, urn=resource.urn, sense=Sense.REMOTE, site=told)


_EXTRACTORS: dict[str, Callable[[Any], Iterator[Field]]] = {
    ADDRESS_MAP: map_fields,
    LAB_NETWORK: _lab_network,
    GCP_NETWORK: _gcp_network,
    GCP_SUBNETWORK: _gcp_subnetwork,
    GCP_GLOBAL_ADDRESS: _gcp_address,
    GCP_CLUSTER: _gcp_cluster,
    GCP_NODE_POOL: _gcp_node_pool,
    GCP_ROUTE: _gcp_route,
    AWS_VPC: _aws_vpc,
    AWS_VPC_BLOCK: _aws_block,
    AWS_SUBNET: _aws_subnet,
    AWS_EKS: _aws_eks,
}
RANGE_TYPES = tuple(_EXTRACTORS)
