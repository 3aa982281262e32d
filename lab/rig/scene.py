"""Who an event happens to."""

from __future__ import annotations

from dataclasses import dataclass

from lab.rig.rig import Rig
from lab.rig.setups import Setup
from network.plan import NodePlan


@dataclass(frozen=True)
class Scene:
    """One gateway of the second region, watched from the first and back."""

    rig: Rig
    setup: Setup
    victim: NodePlan

    @property
    def partner(self) -> NodePlan:
        """The next gateway of the victim's region."""
        gateways = self.rig.gateways(self.victim.region)
        return gateways[(gateways.index(self.victim) + 1) % len(gateways)]

    @property
    def far(self) -> list[NodePlan]:
        """The gateways of the region at the other end."""
        return self.rig.gateways(self.rig.plan.regions[0].name)
