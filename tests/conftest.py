"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NoReturn

import pulumi
import pytest
from pulumi.runtime import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks, set_mocks


class NoResources(Mocks):
    """A test that only reads configuration makes no resource and no call."""

    def new_resource(self, args: MockResourceArgs) -> NoReturn:
        raise AssertionError(f"unexpected resource {args.typ} {args.name}")

    def call(self, args: MockCallArgs) -> NoReturn:
        raise AssertionError(f"unexpected call {args.token}")


@pytest.fixture
def pulumi_stack() -> Iterator[str]:
    """A stack named dev without an engine, on an event loop of its own and with no configuration."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    set_mocks(NoResources(), project="tailspan", stack="dev")
    set_all_config({}, [])
    yield "dev"
    _finish(loop)
    set_all_config({}, [])
    pulumi.runtime.settings.reset_options()
    asyncio.set_event_loop(None)
    loop.close()


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what the SDK left running: a task destroyed while pending would complain in some later test."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
