"""`agent run|drain|undrain|remove`: the route agent of tailspan."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import signal
import sys
import time
from pathlib import Path

from agent.config import PATH, AgentConfig, ConfigError, load
from agent.gateway_agent import GatewayAgent
from agent.kernel.hush import Hush
from agent.kernel.netlink import Netlink
from agent.kernel.probing import ProbePaths
from agent.kernel.routes import NodeRoutes
from agent.node_agent import NodeAgent
from agent.status import serve, serve_health

DRAIN_WITHIN = 25.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="agent", description=__doc__)
    parser.add_argument("--config", type=Path, default=PATH)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="run until SIGTERM; a gateway drains first")
    drain = verbs.add_parser("drain", help="ask the running agent to hand over, and wait until it has")
    drain.add_argument("--within", type=float, default=DRAIN_WITHIN, help="seconds")
    verbs.add_parser("undrain", help="take the drain back")
    verbs.add_parser("remove", help="put the kernel back as it was without an agent")
    chosen = parser.parse_args(arguments)
    try:
        config = load(chosen.config)
        if chosen.verb == "run":
            asyncio.run(run(config))
            return 0
        if chosen.verb == "drain":
            return drain_and_wait(config, chosen.within)
        if chosen.verb == "undrain":
            print(ask(config, "POST", "/undrain")[1], end="")
            return 0
        remove(config)
        return 0
    except (ConfigError, OSError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 1


async def run(config: AgentConfig) -> None:
    """One tick per beat until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    agent = GatewayAgent(config, config.ladder) if config.ladder else NodeAgent(config)
    with contextlib.suppress(PermissionError):
        # Late beats look like lost ones; the agent needs little time, but then at once.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    servers = [await serve(agent, config.http)]
    if config.health:
        servers.append(await serve_health(agent, config.health))
    beating = asyncio.create_task(_beat(agent, config.timing.beat))
    try:
        await asyncio.wait(
            {beating, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if beating.done():
            beating.result()
        await agent.stop()
    finally:
        beating.cancel()
        for server in servers:
            server.close()


async def _beat(agent: GatewayAgent | NodeAgent, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        agent.tick()
        due += seconds
        wait = due - loop.time()
        if wait < -1.0:
            # The machine stood still (suspend, a frozen hypervisor): the beats of that time are not made up for.
            due, wait = loop.time(), 0.0
        await asyncio.sleep(max(0.0, wait))


def ask(config: AgentConfig, method: str, path: str) -> tuple[int, str]:
    """A request to the agent that runs on this machine."""
    connection = http.client.HTTPConnection(config.http, timeout=3)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        raise ConfigError(f"no agent answers at http://{config.http}{path}: {error}") from error
    finally:
        connection.close()


def drain_and_wait(config: AgentConfig, within: float) -> int:
    """0 as soon as the gateway may stop without loss, 1 if that takes too long."""
    until = time.monotonic() + within
    ask(config, "POST", "/drain")
    time.sleep(config.timing.silence)
    while True:
        status, text = ask(config, "GET", "/drain")
        if status == 200 or time.monotonic() > until:
            print(text, end="")
            return 0 if status == 200 else 1
        time.sleep(config.timing.beat)


def remove(config: AgentConfig) -> None:
    """Only while no agent runs: a running one would put everything back."""
    netlink = Netlink()
    if config.ladder:
        ProbePaths(netlink, config, config.ladder).remove()
        Hush(netlink).remove()
    else:
        NodeRoutes(netlink, config).restore()


if __name__ == "__main__":
    sys.exit(main())
