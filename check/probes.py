"""What every probe asks the others: pods, Services, names, UDP, packet sizes; and how answers are read.

One command per pod runs all its questions at once. The probe's own server asks (`/dial`), so that the caller
is a real program in a real pod; `wget` only hands it the question (its -T crashes in Debian's busybox, hence
`timeout`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from check.cluster import Pod
from check.manifests import HTTP, UDP
from check.stack import Node, Stack

# Larger than any planned MTU, smaller than an Ethernet frame.
BIG = 1400
ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")

SHELL = f"""
suffix=cluster.local
while read -r key first rest; do [ "$key" = search ] && suffix=${{first#*.svc.}}; done < /etc/resolv.conf
ask() {{ timeout "$1" wget -qO- "http://127.0.0.1:{HTTP}/dial?$2" 2>&1; }}
dial() {{
  for try in 1 2 3; do
    answer=$(ask 6 "$2")
    case $answer in *responses*) break;; esac
    sleep 1
  done
  printf '%s %s\\n' "$1" "$answer"
}}
name() {{
  for try in 1 2; do
    answer=$(timeout 6 nslookup "$2.$suffix" 2>&1) && break
    sleep 1
  done
  printf '%s %s\\n' "$1" "$(echo $answer)"
}}
held() {{
  timeout 5 wget -qO- "http://$1:{HTTP}/shell?cmd=sleep%203" >/dev/null 2>&1 &
  for try in 1 2 3 4 5; do
    sleep 0.5
    answer=$(ss -Htino state established dst "$1:{HTTP}" 2>&1)
    case $answer in *mss:*|*"not found"*) break;; esac
  done
  kill $! 2>/dev/null  # or the next question finds this connection
}}
mss() {{ held "$2"; printf '%s %s\\n' "$1" "$(echo $answer)"; }}
mtu() {{
  size=0
  for try in 1 2 3 4; do
    answer=$(ask 2 "$3")
    case $answer in *responses*) size=${{#answer}}; break;; esac
  done
  held "$2"
  printf '%s %s %s\\n' "$1" "$size" "$(echo $answer)"
}}
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who asks whom."""

    stack: Stack
    namespace: str
    pods: Mapping[str, Pod]
    services: Mapping[str, str]
    nodes: tuple[Node, ...] = field(default=())

    def representative(self, region: str) -> Pod | None:
        """The pod that stands for a region where one is enough."""
        found = next(r for r in self.stack.regions if r.name == region)
        return next((self.pods[node.name] for node in found.ordinary_first if node.name in self.pods), None)

    @property
    def region_pairs(self) -> list[tuple[str, str]]:
        names = [region.name for region in self.stack.regions]
        return [(a, b) for a in names for b in names if a != b]

    @property
    def node_pairs(self) -> list[tuple[Node, Node]]:
        return [(a, b) for a in self.nodes for b in self.nodes if a != b]


def script(plan: Plan, source: Node) -> str:
    """Every question of one pod, asked at the same time."""
    lines = []
    for node in plan.nodes:
        if node == source or node.name not in plan.pods:
            continue
        ip = plan.pods[node.name].ip
        lines.append(f"dial http:{node.name} 'host={ip}&port={HTTP}&protocol=http&request=clientip'")
        lines.append(f"dial udp:{node.name} 'host={ip}&port={UDP}&protocol=udp&request=clientip'")
    for region, address in plan.services.items():
        lines.append(f"dial svc:{region} 'host={address}&port=80&protocol=http&request=clientip'")
        lines.append(f"name dns:{region} probe-{region}.{plan.namespace}.svc")
    lines.append("name dns:kubernetes kubernetes.default.svc")
    for region, there in _far(plan, source):
        lines.append(f"mss mss:{region} {there.ip}")
    return _together(lines)


def size_script(plan: Plan, source: Node) -> str:
    """Asked after all else: what a pod learns of the path's MTU here would hide a missing MSS clamp."""
    big = f"port={UDP}&protocol=udp&request=echo%20{'x' * BIG}"
    questions = [
        f"mtu mtu:{region} {there.ip} 'host={there.ip}&{big}'" for region, there in _far(plan, source)
    ]
    return _together(questions) if questions else ""


def _together(lines: list[str]) -> str:
    return SHELL + "".join(f"{line} &\n" for line in lines) + "wait\n"


def _far(plan: Plan, source: Node) -> Iterable[tuple[str, Pod]]:
    """One pod asks for its region; it asks one pod of every other region."""
    here = plan.representative(source.region)
    for region in plan.stack.regions:
        there = plan.representative(region.name)
        if here and there and here.node == source.name and region.name != source.region:
            yield region.name, there


def read(text: str) -> dict[str, str]:
    """Answers by question."""
    lines = (line.partition(" ") for line in text.splitlines())
    return {key: answer.strip() for key, _, answer in lines if ":" in key}


def caller(answer: str) -> str | None:
    """The address that the called pod saw; None if there was no answer."""
    try:
        responses = json.loads(answer).get("responses") or []
    except (ValueError, AttributeError):
        return None
    found = ADDRESS.match(responses[-1]) if responses else None
    return found.group() if found else None


def trouble(answer: str | None) -> str:
    """Why there was no answer, in few words."""
    if not answer:
        return "no answer"
    try:
        errors = json.loads(answer).get("errors") or []
    except (ValueError, AttributeError):
        return answer[-100:]
    text = str(errors[-1]) if errors else answer
    for sign, meaning in (
        ("refused", "connection refused"),
        ("unreachable", "unreachable"),
        ("no route", "no route"),
    ):
        if sign in text:
            return meaning
    return "timeout" if "imeout" in text or "exceeded" in text else text[-100:]
