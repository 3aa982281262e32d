"""The tailnet: its policy file and the keys that machines join with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_tailscale as tailscale

from bootstrap.gateway import Tailnet as GatewayTailnet
from config.schema import HeadscaleConfig, TailnetConfig
from network.plan import NetworkPlan, NodePlan
from network.policy_check import missing_from
from network.tailnet_policy import tailnet_policy

KEY_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class TailnetArgs:
    """The control server and what its policy must say."""

    config: TailnetConfig
    plan: NetworkPlan
    api_key: pulumi.Output[str]
    # PEM of a private CA that signed the control server's certificate; None for a public one.
    ca: str | None = None


class Tailnet(pulumi.ComponentResource):
    """One tailnet for the whole stack: a tag per region, a single-use key per device."""

    def __init__(self, name: str, args: TailnetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tailspan:components:Tailnet", name, None, opts)
        self._args = args
        self._headscale = args.config if isinstance(args.config, HeadscaleConfig) else None
        self._provider = tailscale.Provider(
            f"{name}-api",
            api_key=args.api_key,
            base_url=self._headscale.url if self._headscale else None,
            tailnet=None if isinstance(args.config, HeadscaleConfig) else args.config.name,
            opts=pulumi.ResourceOptions(parent=self),
        )
        policy = tailnet_policy(args.plan)
        self._policy = self._own(name, policy) if args.config.policy == "own" else self._verify(policy)
        self.register_outputs({})

    def _own(self, name: str, policy: Mapping[str, Any]) -> pulumi.Output[str]:
        """The whole file is ours. Taking it back to the default on destroy would open the tailnet to everybody."""
        acl = tailscale.Acl(
            f"{name}-policy",
            acl=json.dumps(policy, indent=2),
            reset_acl_on_destroy=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=self._provider,
                # Somebody's whole tailnet hangs on a hosted policy file; a headscale of one's own goes with the stack.
                protect=self._headscale is None,
                retain_on_delete=True,
            ),
        )
        return acl.id

    def _verify(self, policy: Mapping[str, Any]) -> pulumi.Output[str]:
        """Read the policy and fail with exactly what must be added."""
        found = tailscale.get_acl_output(
            opts=pulumi.InvokeOutputOptions(parent=self, provider=self._provider)
        )

        def check(text: str) -> str:
            # An offline preview has no policy file to read; an update that gets none must not take it for consent.
            if not text and pulumi.runtime.is_dry_run():
                return "not verified"
            missing = missing_from(policy, json.loads(text))
            if missing:
                snippet = json.dumps(missing, indent=2)
                raise pulumi.RunError(
                    f"the tailnet's policy file lacks what this stack needs; add to it:\n{snippet}\n"
                    "(or let tailspan write the whole file: tailnet.policy: own)"
                )
            return "verified"

        return found.json.apply(check)

    def key(self, node: NodePlan, tag: str, parent: pulumi.Resource) -> pulumi.Output[str]:
        """
        A key for one machine: one use, one hour, one tag. It is not made anew when it has been used or has expired;
        a new `generation` of the machine gets a new one.
        """
        key = tailscale.TailnetKey(
            f"{node.name}-key",
            description=f"tailspan {node.name} {node.generation}",
            reusable=False,
            ephemeral=False,
            preauthorized=True,
            expiry=KEY_SECONDS,
            tags=[tag],
            recreate_if_invalid="never",
            opts=pulumi.ResourceOptions(
                parent=parent,
                provider=self._provider,
                # A tag can be given only after the policy names its owner.
                depends_on=pulumi.Output.from_input([self]),
                additional_secret_outputs=["key"],
            ),
        )
        return pulumi.Output.all(key.key, self._policy).apply(lambda values: str(values[0]))

    @property
    def gateways(self) -> GatewayTailnet:
        """What a gateway's container is told."""
        return GatewayTailnet(
            login_server=self._headscale.url if self._headscale else None,
            private_ca=self._args.ca is not None,
            advertise_tags=self._headscale is None,
            mtu=self._args.plan.mtu,
        )

    @property
    def ca(self) -> str | None:
        return self._args.ca

    def api(self) -> pulumi.Output[dict[str, str | None]]:
        """How ops/ deletes a device; holds the API key, so it is a secret."""
        config = self._args.config
        return self._args.api_key.apply(
            lambda key: {
                "kind": config.kind,
                "url": self._headscale.url if self._headscale else None,
                "tailnet": None if isinstance(config, HeadscaleConfig) else config.name,
                "api_key": key,
                "ca": self._args.ca,
            }
        )


def hostnames(node: NodePlan) -> tuple[str, ...]:
    """
    The device's name in the tailnet, last, after those of the machine's earlier generations: a wiped machine is a new
    device. A cloud region's gateways keep their identity in a Secret, so theirs stays (see `SubnetRouter`).
    """
    return (node.name, *(f"{node.name}-g{generation}" for generation in range(2, node.generation + 1)))
