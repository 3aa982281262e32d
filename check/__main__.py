"""`python -m check`: deploys probes, asks, takes them away, says what is broken."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from check import access, nodes, probes, report, traffic, transfers
from check.cluster import Cluster, Pod, explain
from check.links import SHOWN_WITHIN, Gateway, await_gateways, check_links
from check.manifests import IMAGE
from check.probes import Plan
from check.result import CheckError, Result
from check.stack import Stack

PROBE_SECONDS = 45
WORKERS = 12


class Checkup:
    """One run. Measurements that would disturb each other come one after the other, the rest at once."""

    def __init__(self, cluster: Cluster, planned: Stack, pool: ThreadPoolExecutor) -> None:
        self._cluster, self._stack, self._pool = cluster, planned, pool
        self.results: list[Result] = []
        self._routers: dict[str, Gateway] = {}

    def run(self, image: str) -> None:
        regions = [region.name for region in self._stack.regions]
        services = self._cluster.deploy(image, regions)
        self.results += nodes.judge_nodes(self._stack, self._cluster.nodes(), self._cluster.version())
        wanted = [node.name for node in self._stack.participants]
        pods, missing = self._cluster.await_probes(wanted, PROBE_SECONDS)
        self.results += nodes.judge_probes(missing, pods, self._stack)
        for region in self._stack.regions:
            addresses = [pods[node.name].ip for node in region.nodes if node.name in pods]
            self._cluster.publish(region.name, addresses)
        plan = Plan(
            stack=self._stack,
            namespace=self._cluster.namespace,
            pods=pods,
            services=services,
            nodes=self._stack.participants,
        )
        self._at_once(plan, pods)
        self._one_by_one(plan, pods)

    def _at_once(self, plan: Plan, pods: dict[str, Pod]) -> None:
        self._routers = await_gateways(self._cluster, self._stack.linked, SHOWN_WITHIN)
        asked = {
            node.name: self._pool.submit(self._ask, pods[node.name], probes.script(plan, node))
            for node in plan.nodes
            if node.name in pods
        }
        links = [
            self._pool.submit(check_links, self._cluster, self._stack, node, self._routers.get(node.name))
            for node in self._stack.linked
        ]
        remote = [
            self._pool.submit(nodes.logs_and_exec, self._cluster, region, pods)
            for region in self._stack.regions
            if region.kind == "gpu"
        ]
        answers = {name: future.result() for name, future in asked.items()}
        seconds = {name: taken for name, (_, taken) in answers.items()}
        self.results += traffic.judge(plan, {name: found for name, (found, _) in answers.items()}, seconds)
        for future in [*remote, *links]:
            self.results += future.result()

    def _ask(self, pod: Pod, script: str) -> tuple[dict[str, str], float]:
        if not script:
            return {}, 0.0
        run = self._cluster.exec(pod.name, ["sh", "-c", script], timeout=45)
        if not run.out:
            # The kubelet of that node is not reached: its pods say nothing, and this is why.
            print(f"check: {pod.node}: {run.trouble}", file=sys.stderr)
        return probes.read(run.out), run.seconds

    def _one_by_one(self, plan: Plan, pods: dict[str, Pod]) -> None:
        ends = {region.name: plan.representative(region.name) for region in self._stack.regions}
        made = {
            name: self._pool.submit(transfers.make_file, self._cluster, pod, transfers.LARGE)
            for name, pod in ends.items()
            if pod
        }
        sizes = {
            node.name: self._pool.submit(self._ask, pods[node.name], probes.size_script(plan, node))
            for node in plan.nodes
            if node.name in pods
        }
        kinds = {region.name: region.kind for region in self._stack.regions}
        for one, other in plan.region_pairs:
            source, to = ends[one], ends[other]
            if source and to and "cloud" in (kinds[one], kinds[other]):
                checksum = made[one].result()
                self.results.append(transfers.transfer(self._cluster, one, other, source, to, checksum))
        self.results += traffic.judge_sizes(plan, {name: asked.result()[0] for name, asked in sizes.items()})
        routers = {node: gateway.pod for node, gateway in self._routers.items()}
        lans = [
            self._pool.submit(transfers.lan, self._cluster, region, pods, routers)
            for region in self._stack.regions
        ]
        self.results += [result for lan in lans if (result := lan.result())]


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    console = Console(stderr=options.json)
    start = time.monotonic()
    try:
        planned = access.planned(options)
        cluster = Cluster(planned.kubeconfig)
        with console.status("asking the cluster"), ThreadPoolExecutor(WORKERS) as pool:
            checkup = Checkup(cluster, planned, pool)
            try:
                checkup.run(options.image)
            finally:
                if not options.keep:
                    cluster.remove()
    except CheckError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not (problem := explain(error)):
            raise
        print(f"check: {problem}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    if options.json:
        print(report.as_json(checkup.results, seconds))
    else:
        report.as_table(checkup.results, seconds, console)
    return 0 if checkup.results and all(result.ok for result in checkup.results) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check", description="Proves a running cluster from outside.")
    parser.add_argument("--json", action="store_true", help="findings as JSON on stdout")
    access.add_options(parser)
    parser.add_argument("--image", default=IMAGE, help="agnhost from a registry of your own")
    parser.add_argument("--keep", action="store_true", help="leave the probes in the cluster")
    return parser.parse_args(arguments)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
