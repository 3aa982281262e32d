"""A Helm release in previews: its inputs are checked, and no chart is ever fetched."""

from __future__ import annotations

from typing import ClassVar

from lab.plugins.base import Call, PluginError, Properties, Resource
from lab.plugins.schema import MapOf, Record


class HelmRelease(Resource):
    """The lab reaches no chart repository, so a release can be previewed here and installed nowhere."""

    token = "kubernetes:helm.sh/v3:Release"
    schema: ClassVar[Record] = Record(
        {
            "name": "string",
            "namespace": "string",
            "chart!": "string",
            "version": "string",
            "repositoryOpts": Record({"repo!": "string"}, open=True),
            "values": MapOf("any"),
            "skipAwait": "boolean",
        }
    )
    replace_on: ClassVar[frozenset[str]] = frozenset({"name", "namespace"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        chart = f"{inputs.get('chart')} {inputs.get('version', '')}".strip()
        raise PluginError(
            f"the lab cannot install the chart {chart}: it reaches no chart repository. Write `cni: plain` for the "
            "lab's regions; on real machines the official kubernetes plugin installs it"
        )
