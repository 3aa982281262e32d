"""The `kubernetes` package: server-side apply with the official client, for the kinds in use."""

from lab.plugins.base import Package
from lab.plugins.kubernetes.config import CONFIG, another_cluster
from lab.plugins.kubernetes.helm import HelmRelease
from lab.plugins.kubernetes.kinds import KINDS
from lab.plugins.kubernetes.objects import KubernetesObject

package = Package(
    name="kubernetes",
    resources={kind.token: KubernetesObject(kind) for kind in KINDS} | {HelmRelease.token: HelmRelease()},
    config=CONFIG,
    elsewhere=another_cluster,
)
