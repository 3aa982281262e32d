"""Preview-only packages for real clouds: inputs are checked against the installed SDK, nothing is ever made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.plugins.base import Call, Function, Package, PluginError, Properties
from lab.plugins.cloud.resource import CloudResource
from lab.plugins.cloud.schema import Settings
from lab.plugins.cloud.sdk import Sdk
from lab.plugins.schema import Record


class Resources(Mapping[str, CloudResource]):
    """Every resource type of an SDK, read when it is first asked for."""

    def __init__(self, sdk: Sdk) -> None:
        self._sdk = sdk
        self._made: dict[str, CloudResource] = {}

    def __getitem__(self, token: str) -> CloudResource:
        if token not in self._made:
            # Two threads may both read it; one of the two equal results stays.
            self._made[token] = CloudResource(self._sdk, self._sdk.resource(token))
        return self._made[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sdk.tokens)

    def __len__(self) -> int:
        return len(self._sdk.tokens)


class NoFunctions(Mapping[str, Function]):
    """Every function is known, and none is answered: an answer would have to come from the account."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getitem__(self, token: str) -> Function:
        def refuse(call: Call, args: Properties) -> Properties:
            raise PluginError(
                f"{token} asks the {self._package} account, and an offline preview has none. Write what it would "
                f"answer into the stack file, or take it from a resource's output."
            )

        return refuse

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def cloud_package(name: str) -> Package:
    sdk = Sdk(name)
    return Package(
        name=name,
        resources=Resources(sdk),
        functions=NoFunctions(name),
        config=Record(Settings(sdk)),
        preview_only=True,
    )
