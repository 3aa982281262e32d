"""The part of a stack file about the control plane: one model per way in which it is made.

`managed` tells whether a cloud runs it: then it is no machine of the stack, and has no address in the plan.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from config.cluster import Model
from config.values import Address, MachineType

_PROTECTED = (
    "Whether the cloud refuses to delete the cluster; write false and run `pulumi up` before you destroy it."
)


class _ControlPlane(Model):
    managed: ClassVar[bool] = True


class ControlPlaneConfig(_ControlPlane):
    """The machines that run etcd and the API server."""

    managed: ClassVar[bool] = False
    kind: Literal["kubeadm"] = Field(examples=["kubeadm"], description="How the control plane is made.")
    machines: int = Field(default=1, ge=1, examples=[1], description="How many machines; only 1 so far.")
    first_ip: Address | None = Field(
        default=None,
        examples=["10.0.0.10"],
        description="Node IP of the first of them; the others follow. Host 10 of node_cidr if none is written.",
    )
    machine_type: MachineType | None = Field(
        default=None,
        examples=["e2-standard-4"],
        description="The provider's name for the machine's size; the provider's default if none is written.",
    )


class GkeControlPlane(_ControlPlane):
    """A GKE Standard cluster (experimental: docs/clouds/gke.md says what is not proven)."""

    kind: Literal["gke"] = Field(description="Google runs the control plane (experimental).")
    release_channel: Literal["RAPID", "REGULAR", "STABLE"] = Field(
        default="REGULAR",
        examples=["REGULAR"],
        description="Which versions Google upgrades to by itself.",
    )
    location: Literal["zone", "region"] = Field(
        default="zone",
        examples=["zone"],
        description="zone: one control plane machine; region: three, in three zones, and node groups in each of them.",
    )
    deletion_protection: bool = Field(default=True, examples=[True], description=_PROTECTED)


class EksControlPlane(_ControlPlane):
    """An EKS cluster whose machines elsewhere are hybrid nodes (docs/clouds/eks.md)."""

    kind: Literal["eks"] = Field(
        description="Amazon runs the control plane; machines elsewhere are hybrid nodes."
    )
    second_zone: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$",
        examples=["us-east-1b"],
        description="Another availability zone of the region: EKS wants subnets in two.",
    )
    deletion_protection: bool = Field(default=True, examples=[True], description=_PROTECTED)


ControlPlane = Annotated[ControlPlaneConfig | GkeControlPlane | EksControlPlane, Field(discriminator="kind")]
