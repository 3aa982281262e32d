"""The provider's configuration: which cluster."""

from __future__ import annotations

from typing import Any

from lab.plugins.base import Properties
from lab.plugins.schema import Record

# The SDK sends every non-string setting as JSON text.
CONFIG = Record(
    {
        "kubeconfig": "string",
        "context": "string",
        "cluster": "string",
        "namespace": "string",
        "enableServerSideApply": "any",
        "deleteUnreachable": "any",
        "clusterIdentifier": "string",
        "enableConfigMapMutable": "any",
        "enableSecretMutable": "any",
        "kubeClientSettings": "any",
        "helmReleaseSettings": "any",
        "suppressDeprecationWarnings": "any",
        "skipUpdateUnreachable": "any",
    }
)


def another_cluster(old: Properties, new: Properties) -> bool:
    """A new certificate authority is a new, empty cluster; a new address is not."""
    before, after = _authority(old), _authority(new)
    return bool(before and after and before != after)


def _authority(config: Properties) -> str:
    # Not at the top: a preview of a cluster that is yet to be made has no kubeconfig to read.
    import yaml

    try:
        parsed = yaml.safe_load(str(config.get("kubeconfig") or ""))
        return str(current_cluster(parsed).get("certificate-authority-data") or "")
    except (yaml.YAMLError, LookupError, TypeError, AttributeError):
        return ""


def current_cluster(kubeconfig: dict[str, Any]) -> dict[str, Any]:
    context = next(
        item["context"] for item in kubeconfig["contexts"] if item["name"] == kubeconfig["current-context"]
    )
    return dict(
        next(item["cluster"] for item in kubeconfig["clusters"] if item["name"] == context["cluster"])
    )
