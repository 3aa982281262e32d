"""`python -m check.drain GATEWAY`: hands a gateway's traffic over to its partners before it is worked on, and back.

The order goes to the route agent in the gateway's pod, through the API server: it needs no login on the machine.
"""

from __future__ import annotations

import argparse
import sys

from check import access
from check.cluster import Cluster, Pod, explain
from check.result import CheckError
from check.stack import Stack

NAMESPACE = "tailscale"
SELECTOR = "app in (subnet-router,apiserver-connector)"
CONTAINER = "route-agent"
PROGRAM = ("python3", "/usr/local/lib/tailspan/agent.pyz")
# A hand-over takes a second or two; while a partner is just coming back, it waits for that.
WITHIN_SECONDS = 40
ALONE = "nobody could take over"


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        planned = access.planned(options)
        cluster = Cluster(planned.kubeconfig)
        pod = gateway_pod(cluster, planned, options.gateway)
        print(undrain(cluster, pod) if options.undo else drain(cluster, pod, force=options.force))
    except CheckError as error:
        print(f"drain: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not (problem := explain(error)):
            raise
        print(f"drain: {problem}", file=sys.stderr)
        return 1
    return 0


def gateway_pod(cluster: Cluster, planned: Stack, name: str) -> Pod:
    """The running pod of a gateway; raises CheckError, which names the gateways that there are."""
    gateways = {
        node.name: region for region in planned.regions for node in region.nodes if node.role == "gateway"
    }
    if name not in gateways:
        known = ", ".join(sorted(gateways)) or "none"
        raise CheckError(f"{name or '(no name)'} is no gateway of this stack; write GATEWAY= one of: {known}")
    if gateways[name].mode != "gateway":
        raise CheckError(
            f"{name}: its region has mode: per-node, no other machine could take over its traffic"
        )
    for pod in cluster.pods(SELECTOR, NAMESPACE):
        if pod["spec"].get("nodeName") == name and pod["status"].get("phase") == "Running":
            return Pod(name=pod["metadata"]["name"], node=name, ip=pod["status"].get("podIP", ""))
    raise CheckError(
        f"{name}: no running pod {SELECTOR.partition(' in ')[2]} there, so it carries nothing already"
    )


def drain(cluster: Cluster, pod: Pod, *, force: bool) -> str:
    """Returns when the partners receive everything; raises CheckError if they do not, and takes the wish back."""
    run = cluster.exec(
        pod.name,
        [*PROGRAM, "drain", "--within", str(WITHIN_SECONDS - 10)],
        namespace=NAMESPACE,
        container=CONTAINER,
        timeout=WITHIN_SECONDS,
    )
    said = (run.out or run.err).strip()
    if run.code == 0 and (force or ALONE not in said):
        return f"{pod.node} is drained ({said}): work on it, then `make undrain GATEWAY={pod.node}` or restart it"
    undrain(cluster, pod)
    if run.code == 0:
        raise CheckError(
            f"{pod.node}: {said}: its region would be cut off, so it goes on; if that is what you want: ARGS=--force"
        )
    raise CheckError(f"{pod.node}: not drained, so it goes on: {said or run.trouble}")


def undrain(cluster: Cluster, pod: Pod) -> str:
    run = cluster.exec(pod.name, [*PROGRAM, "undrain"], namespace=NAMESPACE, container=CONTAINER)
    if run.code != 0:
        raise CheckError(f"{pod.node}: its route agent does not take the drain back: {run.trouble}")
    return f"{pod.node} gets its share of the traffic back within seconds"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check.drain", description=__doc__)
    parser.add_argument("gateway", help="the machine's name in the stack file")
    parser.add_argument("--undo", action="store_true", help="take the drain back")
    parser.add_argument("--force", action="store_true", help="also if nobody can take over")
    access.add_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
