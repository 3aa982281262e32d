"""Types and inputs that rules about machines and charts read are those of the installed SDKs; a rename is noticed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from policy.rules.cni import CHARTS
from policy.rules.known import TAILNET_KEY
from policy.rules.manifests import LOCAL_COMMAND
from policy.rules.policy_text import ACL
from policy.rules.routes import COPY_TO_REMOTE, REMOTE_COMMAND
from policy.rules.secrets import REMOTE_TYPES

READ = {
    "pulumi_tailscale/acl.py": (ACL, "acl overwriteExistingContent resetAclOnDestroy"),
    "pulumi_tailscale/tailnet_key.py": (TAILNET_KEY, "reusable preauthorized tags expiry"),
    "pulumi_tailscale/provider.py": ("tailscale", "baseUrl apiKey oauthClientSecret"),
    "pulumi_command/local/command.py": (LOCAL_COMMAND, "create update delete stdin"),
    "pulumi_command/remote/command.py": (REMOTE_COMMAND, "create update delete stdin connection"),
    "pulumi_command/remote/copy_to_remote.py": (COPY_TO_REMOTE, "remotePath source connection"),
    "pulumi_command/remote/copy_file.py": (REMOTE_TYPES[1], "connection"),
    "pulumi_command/remote/_inputs.py": ("ConnectionArgs", "hostKey password proxy privateKey"),
    "pulumi_kubernetes/helm/v3/Release.py": (CHARTS[0], "chart values skipAwait"),
    "pulumi_kubernetes/helm/v4/Chart.py": (CHARTS[1], "chart values skipAwait"),
    "pulumi_kubernetes/apps/v1/DaemonSet.py": ("kubernetes:apps/v1:DaemonSet", "metadata spec"),
    "pulumi_gcp/compute/instance.py": ("gcp:compute/instance:Instance", "metadataStartupScript metadata"),
    "pulumi_gcp/container/node_pool.py": ("gcp:container/nodePool:NodePool", "nodeConfig"),
    "pulumi_aws/ec2/instance.py": ("aws:ec2/instance:Instance", "userData userDataBase64"),
    "pulumi_aws/eks/node_group.py": ("aws:eks/nodeGroup:NodeGroup", "amiType"),
}


def source(path: str) -> str:
    """Read, not imported: importing the SDK of a cloud takes seconds."""
    package, _, inner = path.partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / inner).read_text()


@pytest.mark.parametrize("path", READ)
def test_a_type_and_the_inputs_that_rules_read_are_those_of_the_sdk(path: str) -> None:
    token, inputs = READ[path]
    text = source(path)
    assert token in text
    spelled = re.findall(r'@pulumi.getter(?:\(name="(\w+)"\))?\n    def (\w+)\(self\)', text)
    assert set(inputs.split()) <= {wire or python for wire, python in spelled}


def test_the_kubernetes_sdk_makes_the_content_of_secrets_secret() -> None:
    """So a key in a Secret passes `secrets-are-marked-as-secret`."""
    text = source("pulumi_kubernetes/core/v1/Secret.py")
    assert "pulumi.Output.secret(string_data)" in text
    assert "pulumi.Output.secret(data)" in text
