"""Run by `python -m lab.rig experiment`: when does a fresh tailscaled open its sockets anew? Prints JSON."""

from __future__ import annotations

import json
import time

from agent.config import Timing
from lab.rig import faults, gateway, pods
from lab.rig.ours import Ours
from lab.rig.plan import Shape
from lab.rig.rig import Rig
from lab.rig.scene import Scene

REBIND = "LinkChange: major, rebinding"
# Any change of addresses or routes makes tailscaled look at all interfaces.
EVENT = "ip route add unreachable 192.0.2.9 table 999; ip route del unreachable 192.0.2.9 table 999"

setup = Ours()
rig = Rig(Shape(), probing=setup.probing, routes=setup.routes)
rig.up()
setup.prepare(rig)
victim = rig.plan.regions[1].gateways[0]
machine = rig.machine(victim)


def rebinds() -> int:
    return machine.log(gateway.CONTAINER).read_text(errors="replace").count(REBIND)


before = rebinds()
faults.kill_tailscaled(rig, victim)
time.sleep(1.0)
pods.revive(Scene(rig, setup, victim), victim)
time.sleep(Timing().hold)
within = rebinds()
machine.sh(EVENT)
time.sleep(2.5)
print(json.dumps({"within the hold": within - before, "after it": rebinds() - within}))
