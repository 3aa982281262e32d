"""The pack's server as the engine talks to it, without the engine."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import proto
from pulumi_policy import EnforcementLevel, Policy
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from policy.rules.host import RuleHost


def secret(value: Any) -> dict[str, Any]:
    """A secret as the engine sends it (pulumi sdk/go/common/resource/plugin/rpc.go)."""
    return {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value}


class Refused(Exception):
    """What the engine would print."""


class _Context:
    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Refused(message)


class Wire:
    """One operation: resources are analyzed one by one with their inputs, then together with their outputs."""

    def __init__(self, *rules: Policy) -> None:
        self.host = RuleHost("tailspan", "0.1.0", list(rules), EnforcementLevel.MANDATORY)

    def configure(self, **config: tuple[int, dict[str, Any]]) -> None:
        request = proto.ConfigureAnalyzerRequest(
            policyConfig={
                name.replace("_", "-"): proto.PolicyConfig(enforcementLevel=level, properties=struct(values))  # type: ignore[arg-type]
                for name, (level, values) in config.items()
            }
        )
        self.host.Configure(request, _Context())

    def one(self, kind: str, name: str, inputs: dict[str, Any]) -> list[Any]:
        request = proto.AnalyzeRequest(type=kind, urn=_urn(kind, name), name=name, properties=struct(inputs))
        return list(self.host.Analyze(request, None).diagnostics)

    def all(self, *resources: tuple[str, str, dict[str, Any]]) -> list[Any]:
        request = proto.AnalyzeStackRequest(
            resources=[
                proto.AnalyzerResource(type=kind, urn=_urn(kind, name), name=name, properties=struct(outputs))
                for kind, name, outputs in resources
            ]
        )
        return list(self.host.AnalyzeStack(request, None).diagnostics)


def _urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::tailspan::{kind}::{name}"


def struct(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
