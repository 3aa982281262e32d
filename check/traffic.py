"""Judges the probes' answers: who answered, and whether the caller's address was kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from check import probes
from check.probes import Plan
from check.result import Result
from check.stack import Node, Stack

NO_SS = "not found"
Answers = Mapping[str, Mapping[str, str]]
TAILNET = IPv4Network("100.64.0.0/10")
PAIRS = {"http": "pod to pod, source kept", "udp": "pod to pod over UDP"}
SERVICE, DNS, MTU, MSS = "pod to Service", "DNS", "packet size", "TCP segment size"


def judge(plan: Plan, answers: Answers, seconds: Mapping[str, float]) -> list[Result]:
    """All results that come from the probes' questions."""
    found: list[Result] = []
    for kind, name in PAIRS.items():
        found += _pairs(plan, answers, seconds, kind, name)
    names = [region.name for region in plan.stack.regions]
    found += [_service(plan, answers, a, b) for a in names for b in names]
    found += [_dns(plan, answers, region) for region in names]
    return found + [_segment_size(plan, answers, a, b) for a, b in plan.region_pairs]


def judge_sizes(plan: Plan, answers: Answers) -> list[Result]:
    """The results of the second round."""
    return [_packet_size(plan, answers, a, b) for a, b in plan.region_pairs]


def _pairs(plan: Plan, answers: Answers, seconds: Mapping[str, float], kind: str, name: str) -> list[Result]:
    groups: dict[tuple[str, str], list[tuple[Node, Node]]] = {}
    for a, b in plan.node_pairs:
        groups.setdefault((a.region, b.region), []).append((a, b))
    results = []
    for (one, other), pairs in groups.items():
        silent, altered = [], []
        for a, b in pairs:
            answer = answers.get(a.name, {}).get(f"{kind}:{b.name}")
            seen = probes.caller(answer or "")
            if seen is None:
                silent.append((a, b, probes.trouble(answer)))
            elif a.name in plan.pods and seen != plan.pods[a.name].ip:
                altered.append((a, b, seen))
        problems = [f"{a.name} to {b.name}: {why}" for a, b, why in silent]
        problems += [f"{b.name} saw {seen} instead of {a.name}'s pod" for a, b, seen in altered]
        cause = ""
        if silent:
            cause = silence([(a, b) for a, b, _ in silent], pairs)
        elif altered:
            cause = altered_source(plan.stack, altered[0][2])
        detail = _short(problems, len(pairs)) or f"{len(pairs)} pairs"
        took = max((seconds.get(a.name, 0.0) for a, _ in pairs), default=0.0)
        results.append(
            Result(
                name=name,
                subject=f"{one} to {other}",
                ok=not problems,
                detail=detail,
                cause=cause,
                seconds=took,
            )
        )
    return results


def _short(problems: list[str], total: int) -> str:
    if not problems:
        return ""
    if not problems:
        return ""
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"{len(problems)} of {total} fail: {'; '.join(problems[:3])}{more}"


def silence(silent: list[tuple[Node, Node]], all_pairs: list[tuple[Node, Node]]) -> str:
    """What the pattern of missing answers points at."""
    one, other = all_pairs[0][0].region, all_pairs[0][1].region
    if len(silent) == len(all_pairs):
        if one == other:
            return f"the LAN of {one}: routes to the nodes' pod CIDRs are missing, or it drops pods"
        return (
            f"nothing passes from {one} to {other} and back: is a gateway of each up, are its routes "
            "approved, and do the tailnet's grants name the pod CIDRs?"
        )
    for index, role in ((1, "does not answer"), (0, "reaches nobody")):
        names = {pair[index].name for pair in silent}
        complete = {pair for pair in all_pairs if pair[index].name in names} == set(silent)
        if len(names) < len({pair[index].name for pair in all_pairs}) and complete:
            return (
                f"{', '.join(sorted(names))} {role}: route of the supernets missing on the node, its CNI "
                "down, or NOTRACK missing on the gateway"
            )
    return (
        "only some pairs: a gateway that is no legitimate sender (prefix ladder), or NOTRACK missing on one"
    )


def altered_source(stack: Stack, seen: str) -> str:
    address = IPv4Address(seen)
    owner = next((node for node in stack.nodes if node.node_ip == address), None)
    if address in TAILNET:
        return f"{seen} is a tailnet address: a gateway translates sources (SNAT on: --snat-subnet-routes)"
    if owner and owner.role == "gateway":
        return (
            f"{seen} is the gateway {owner.name}: it translates sources (SNAT on, or a masquerade rule there)"
        )
    if owner:
        return f"{seen} is the node {owner.name}: it masquerades (kube-proxy's clusterCIDR, or the CNI)"
    return f"{seen} belongs to no node: something between the regions translates addresses"


def _service(plan: Plan, answers: Answers, one: str, other: str) -> Result:
    sources = [node for node in plan.nodes if node.region == one]
    problems, cause = [], ""
    for node in sources:
        answer = answers.get(node.name, {}).get(f"svc:{other}")
        seen = probes.caller(answer or "")
        if seen is None:
            problems.append(f"{node.name}: {probes.trouble(answer)}")
            cause = f"kube-proxy on {node.name} (did it get the endpoints?), or the way of the pods above"
        # A pod that reaches itself through its Service is masqueraded on purpose.
        elif one != other and node.name in plan.pods and seen != plan.pods[node.name].ip:
            problems.append(f"{node.name}: seen as {seen}")
            cause = altered_source(plan.stack, seen)
    return Result(
        name=SERVICE,
        subject=f"{one} to {other}",
        ok=not problems,
        detail=_short(problems, len(sources)) or f"{plan.services.get(other)} from {len(sources)} pods",
        cause=cause,
    )


def _dns(plan: Plan, answers: Answers, region: str) -> Result:
    wanted = {f"dns:{name}": address for name, address in plan.services.items()}
    wanted["dns:kubernetes"] = str(plan.stack.service_cidr[1])
    sources = [node for node in plan.nodes if node.region == region]
    problems = []
    for node in sources:
        for question, address in wanted.items():
            answer = answers.get(node.name, {}).get(question, "")
            if address not in probes.ADDRESS.findall(answer):
                problems.append(
                    f"{node.name}: {question.removeprefix('dns:')}: {answer[-60:] or 'no answer'}"
                )
    return Result(
        name=DNS,
        subject=region,
        ok=not problems,
        detail=_short(problems, len(sources) * len(wanted)) or f"{len(wanted)} names, {len(sources)} pods",
        cause=f"CoreDNS of {region} not running, or its Service not reached from there" if problems else "",
    )


def _packet_size(plan: Plan, answers: Answers, one: str, other: str) -> Result:
    here, subject = plan.representative(one), f"{one} to {other}"
    size, _, socket = (answers.get(here.node, {}).get(f"mtu:{other}", "") if here else "").partition(" ")
    learned = re.search(r"\bpmtu:(\d+)", socket)
    if not size.isdigit() or int(size) < probes.BIG:
        cause = (
            f"the way back of 'too big' is missing: nodes need mtu {plan.stack.mtu} on the routes to other "
            "regions, and ICMP must pass"
        )
        detail = f"{probes.BIG} bytes of UDP are not echoed"
        return Result(name=MTU, subject=subject, ok=False, detail=detail, cause=cause)
    path = learned.group(1) if learned else "not seen"
    ok = path == str(plan.stack.mtu)
    cause = f"mtu on the nodes' routes or of the tunnel differs from the planned {plan.stack.mtu}"
    if NO_SS in socket:
        cause = "the probe's image has no ss (iproute2)"
    detail = f"{probes.BIG} bytes of UDP pass, path MTU {path}"
    return Result(name=MTU, subject=subject, ok=ok, detail=detail, cause="" if ok else cause)


def _segment_size(plan: Plan, answers: Answers, one: str, other: str) -> Result:
    here, subject, wanted = plan.representative(one), f"{one} to {other}", plan.stack.mss
    text = answers.get(here.node, {}).get(f"mss:{other}", "") if here else ""
    found = re.search(r"\bmss:(\d+)", text)
    if not found:
        cause = "the probe's image has no ss (iproute2)" if NO_SS in text else f"no TCP connection to {other}"
        return Result(name=MSS, subject=subject, ok=False, detail=text[:80] or "not measured", cause=cause)
    # ss shows what is left after the timestamp option.
    mss = int(found.group(1)) + (12 if re.search(r"\bts\b", text) else 0)
    cause = "" if mss == wanted else f"MSS clamp of the gateways of {one} and {other} (planned {wanted})"
    return Result(name=MSS, subject=subject, ok=mss == wanted, detail=f"MSS {mss}", cause=cause)
