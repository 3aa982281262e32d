"""Generated stack files: sound ones with every feature, and the same with a few things changed, most for the worse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.stacks import HOST_KEY, stack_data
from tests.unit.plan_checker import dotted

Data = dict[str, Any]
Edit = Callable[[st.DrawFn, Data], None]

OPEN = {"protocol": "udp", "port": 41641, "source": "0.0.0.0/0"}
NODES, PODS = 10 << 24, (10 << 24) + (128 << 16)


@st.composite
def sound_stacks(draw: st.DrawFn) -> Data:
    """A stack file that must be planned."""
    data = stack_data()
    slots = draw(st.lists(st.integers(0, 90), min_size=1, max_size=5, unique=True))
    gpus = [_gpu(draw, number, slot) for number, slot in enumerate(slots[1:])]
    data["regions"] = [_hub(draw, slots[0]), *gpus]
    if draw(st.booleans()):
        data["regions"].reverse()
    if draw(st.integers(0, 3)) == 0:
        data["tailnet"] = {"kind": "tailscale", "name": "example.com", "version": "1.98.10"}
    data["tailnet"]["mtu"] = draw(st.sampled_from([1280, 1280, 1420, 8000]))
    if draw(st.integers(0, 3)) == 0:
        data["reserved"] = [
            {"cidr": draw(st.sampled_from(["192.168.0.0/16", "172.20.0.0/14"])), "owner": "office"}
        ]
    return data


def _ranges(draw: st.DrawFn, slot: int) -> Data:
    explicit = {
        "node_cidr": f"{dotted(NODES + (slot << 8))}/24",
        "pod_cidr": f"{dotted(PODS + (slot << 16))}/16",
    }
    return draw(st.sampled_from([explicit, {"slot": slot}, {"slot": slot, **explicit}]))


def _hosts(draw: st.DrawFn) -> list[int]:
    return draw(st.lists(st.integers(2, 254), min_size=2, max_size=5, unique=True))


def _place(draw: st.DrawFn, slot: int) -> Data:
    lan = draw(st.sampled_from(["l2", "routed"]))
    place: Data = {
        "cni": draw(st.sampled_from(["plain", "cilium"])),
        "gateway_firewall": [dict(OPEN)],
        **_ranges(draw, slot),
    }
    match draw(st.integers(0, 7)):
        case 0:
            place["lan_mtu"] = draw(st.sampled_from([1410, 1460, 9000]))
        case 1:
            place["wan_mtu"] = draw(st.sampled_from([1360, 1400, 1492]))
        case 2:
            place["no_inbound"] = "rented flat, dials the hub"
        case 3:
            place["lan_ranges"] = ["172.31.0.0/16", "172.17.0.0/16"]
        case 4:
            place["gateway_firewall"] = []
    if draw(st.integers(0, 5)) == 0:
        place |= {"mode": "per-node", "cni": "plain"}
    if draw(st.booleans()):
        return place | {"provider": {"kind": "ssh", "lan": lan}}
    place["provider"] = {"kind": "lab", "lan": lan}
    if "no_inbound" in place:
        place["provider"]["nat"] = draw(st.sampled_from(["easy", "hard"]))
    return place


def _hub(draw: st.DrawFn, slot: int) -> Data:
    place = _place(draw, slot)
    hub: Data = {"name": "hub", "kind": "cloud", "control_plane": {"kind": "kubeadm", "machines": 1}, **place}
    if place["provider"]["kind"] == "ssh":
        hub["machines"] = _machines(draw, "hub", slot, place, control_plane=True)
        hub["gateways"] = {"count": sum(1 for machine in hub["machines"] if machine.get("gateway"))}
        return hub
    first = NODES + (slot << 8)
    hub["gateways"] = {"count": 0 if "mode" in place else draw(st.integers(1, 4))}
    count = draw(st.integers(0, 40))
    hub["node_groups"] = [{"name": "cpu", "count": count, "first_ip": dotted(first + 100)}]
    if draw(st.booleans()):
        hub["gateways"]["first_ip"] = dotted(first + draw(st.sampled_from([2, 30, 250])))
    return hub


def _gpu(draw: st.DrawFn, number: int, slot: int) -> Data:
    place = _place(draw, slot)
    name = f"gpu{number}"
    return {"name": name, "kind": "gpu", "machines": _machines(draw, name, slot, place), **place}


def _machines(
    draw: st.DrawFn, region: str, slot: int, place: Data, *, control_plane: bool = False
) -> list[Data]:
    hosts = _hosts(draw)
    gateways = draw(st.integers(1, min(4, len(hosts) - control_plane)))
    machines: list[Data] = []
    for index, host in enumerate(hosts):
        machine: Data = {"name": f"{region}-{host}", "node_ip": dotted(NODES + (slot << 8) + host)}
        if index < gateways and "mode" not in place:
            machine["gateway"] = True
        if place["provider"]["kind"] == "ssh":
            machine |= {"host_key": HOST_KEY, "address": f"203.0.{slot}.{host}"}
            if index > gateways and "mode" not in place and draw(st.booleans()):
                del machine["address"]
                machine["jump"] = machines[0]["name"]
        machines.append(machine)
    if control_plane:
        machines[-1] |= {"control_plane": True, "address": f"203.0.{slot}.{hosts[-1]}"}
        machines[-1].pop("jump", None)
    return machines


CIDRS = (
    "10.0.0.0/24", "10.0.0.0/9", "10.0.7.0/30", "10.0.3.0/29", "10.1.2.0/23", "10.96.0.0/16", "10.128.0.0/16",
    "10.130.0.0/15", "10.140.0.0/21", "10.255.0.0/24", "100.64.0.0/10", "100.100.100.0/24", "172.17.0.0/16",
    "192.168.0.0/16", "203.0.0.0/16", "0.0.0.0/0", "255.255.255.252/30", "10.0.0.0/32", "169.254.0.0/20",
)  # fmt: skip


def _range(draw: st.DrawFn, data: Data) -> None:
    region = draw(st.sampled_from(data["regions"]))
    region[draw(st.sampled_from(["node_cidr", "pod_cidr"]))] = draw(st.sampled_from(CIDRS))


def _supernet(draw: st.DrawFn, data: Data) -> None:
    field = draw(st.sampled_from(["node_supernet", "pod_supernet", "service_cidr"]))
    data["kubernetes"][field] = draw(st.sampled_from(CIDRS))


def _sizes(draw: st.DrawFn, data: Data) -> None:
    data["kubernetes"]["node_pod_prefix"] = draw(st.integers(20, 28))
    data["kubernetes"]["slots"] = {
        "node_prefix": draw(st.integers(20, 26)),
        "pod_prefix": draw(st.integers(12, 24)),
    }


def _shrink(draw: st.DrawFn, data: Data) -> None:
    """Ranges about as small as a ladder's least ones, which a good part of the machines still fits into."""
    region = draw(st.sampled_from(data["regions"]))
    data["kubernetes"]["node_pod_prefix"] = draw(st.integers(26, 28))
    for field, least, most in (("node_cidr", 24, 29), ("pod_cidr", 18, 26)):
        if field in region:
            region[field] = f"{region[field].split('/')[0]}/{draw(st.integers(least, most))}"
    region.pop("slot", None)


def _slot(draw: st.DrawFn, data: Data) -> None:
    draw(st.sampled_from(data["regions"]))["slot"] = draw(st.integers(0, 130))


def _names(draw: st.DrawFn, data: Data) -> None:
    draw(st.sampled_from(data["regions"]))["name"] = draw(st.sampled_from(["hub", "gpu0", "gpu1", "other"]))


def _list_elsewhere(draw: st.DrawFn, data: Data) -> None:
    field = draw(st.sampled_from(["reserved", "lan_ranges"]))
    cidr = draw(st.sampled_from(CIDRS))
    if field == "reserved":
        data["reserved"] = [{"cidr": cidr, "owner": "office"}]
    else:
        draw(st.sampled_from(data["regions"]))["lan_ranges"] = [cidr]


def _settings(draw: st.DrawFn, data: Data) -> None:
    region = draw(st.sampled_from(data["regions"]))
    key, value = draw(
        st.sampled_from(
            [
                ("lan_mtu", 1300), ("wan_mtu", 1300), ("wan_mtu", 1370), ("lan_device", "tailscale0"),
                ("provider", {"kind": "lab", "lan": "l2", "nat": "hard"}), ("provider", {"kind": "ssh", "lan": "l2"}),
                ("no_inbound", "a good reason"), ("gateway_firewall", []), ("machines", []), ("kind", "gpu"),
                ("mode", "per-node"), ("mode", "gateway"),
            ]
        )
    )  # fmt: skip
    region[key] = value


def _tailnet(draw: st.DrawFn, data: Data) -> None:
    key, value = draw(
        st.sampled_from(
            [("max_devices", 1), ("max_devices", 6), ("version", "1.84.3"), ("version", "1.98.10"), ("mtu", 1400),
             ("url", "https://10.0.0.5"), ("url", "https://203.0.113.1")]
        )
    )  # fmt: skip
    data["tailnet"][key] = value


def _counts(draw: st.DrawFn, data: Data) -> None:
    for region in data["regions"]:
        if region["kind"] == "cloud" and "gateways" in region:
            region["gateways"]["count"] = draw(st.integers(0, 6))
            region["node_groups"] = [
                {
                    "name": draw(st.sampled_from(["cpu", "gw"])),
                    "count": draw(st.integers(0, 300)),
                    "first_ip": "10.0.0.9",
                }
            ]


def _machine(draw: st.DrawFn, data: Data) -> None:
    machines = [machine for region in data["regions"] for machine in region.get("machines", [])]
    if not machines:
        return
    key, value = draw(
        st.sampled_from(
            [
                ("node_ip", "10.0.0.0"), ("node_ip", "10.0.0.1"), ("node_ip", "10.0.0.10"), ("name", "hub-gw-1"),
                ("node_ip", "255.255.255.255"), ("gateway", True), ("gateway", False), ("control_plane", True),
                ("jump", machines[0]["name"]), ("jump", "nobody"), ("address", "10.0.0.4"), ("port", 2222),
                ("address", machines[0].get("address") or "b.example.com"), ("host_key", None),
                ("generation", 2), ("address", "100.80.1.1"), ("address", None),
            ]
        )
    )  # fmt: skip
    draw(st.sampled_from(machines))[key] = value


def _regions(draw: st.DrawFn, data: Data) -> None:
    if draw(st.booleans()):
        data["regions"].append(dict(draw(st.sampled_from(data["regions"]))))
    else:
        data["regions"].pop()


EDITS: tuple[Edit, ...] = (
    _range, _supernet, _sizes, _shrink, _slot, _names, _list_elsewhere, _settings, _tailnet, _counts, _machine,
    _machine, _regions,
)  # fmt: skip


@st.composite
def stacks(draw: st.DrawFn) -> Data:
    """
    A sound stack file with up to four edits. How many is drawn by itself: left to a list, hypothesis makes it mostly
    short in some runs and long in others.
    """
    data = draw(sound_stacks())
    count = draw(st.sampled_from((0, 1, 2, 2, 3, 4)))
    for edit in draw(st.lists(st.sampled_from(EDITS), min_size=count, max_size=count)):
        if data["regions"]:
            edit(draw, data)
    return data


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(CIDRS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.integers() | st.dates() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def spoilt_stacks(draw: st.DrawFn) -> Any:
    """A stack file of which one value, key or element is garbage; or garbage alone."""
    data: Any = draw(sound_stacks())
    garbage = draw(GARBAGE)
    places = list(_places(data))
    target, key = places[draw(st.integers(0, len(places) - 1))]
    match draw(st.integers(0, 9)):
        case 0:
            return garbage
        case 1 if isinstance(target, dict):
            target[draw(st.text(max_size=6) | st.integers() | st.none())] = garbage
        case _:
            target[key] = garbage
    return data


def _places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(value, key), *_places(inner)]]
