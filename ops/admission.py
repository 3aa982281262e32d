"""How a machine that has no certificate yet may ask for one: with a bootstrap token, or with a ServiceAccount's.

A bootstrap token is a Secret that kubeadm's API server accepts, and stands in the machine's script. Not every cloud's
API server accepts one. All of them issue tokens for ServiceAccounts, which live an hour at most: so that token is made
when the machine joins, and brought to it then.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from ops.csr import Sender
from ops.errors import HttpError, OpsError
from ops.http import Json
from ops.kube import Kube
from ops.ssh import Login, run_script

BOOTSTRAPPERS = "system:bootstrappers:tailspan"
TOKENS = "/api/v1/namespaces/kube-system/secrets"
LONGEST_TOKEN = timedelta(hours=1)
# The API server refuses to make shorter ones (Kubernetes: TokenRequest).
SHORTEST_TOKEN = timedelta(minutes=10)
# What stands for the token in the text that goes to the machine (bootstrap/group.py has the same).
BLANK = "@BOOTSTRAP_TOKEN@"
# A machine that is being admitted has run its script a moment ago.
PATIENCE = 30.0


class Pass(Protocol):
    """A machine's right to ask, for as long as its admission takes."""

    @property
    def mark(self) -> str:
        """What is recorded of the machine that joined with it: another mark is another machine behind the Node."""

    @property
    def sender(self) -> Sender:
        """Whose requests are this machine's."""

    def offer(self, kube: Kube, seconds: float) -> None:
        """Make it valid for so long and a little more; may be done again."""

    def withdraw(self, kube: Kube) -> None:
        """It has done its work, or will do none."""


@dataclass(frozen=True, kw_only=True)
class BootstrapToken:
    """`id.secret`: the machine has it already, the cluster gets to know it."""

    node: str
    mark: str
    secret: str

    @property
    def sender(self) -> Sender:
        return Sender(f"system:bootstrap:{self.mark}")

    def offer(self, kube: Kube, seconds: float) -> None:
        # The API server's clock counts, not the operator's.
        secret = _token_object(self, kube.server_time + _lifetime(seconds))
        try:
            kube.create(TOKENS, secret)
        except HttpError as error:
            if error.status != 409:
                raise
            kube.replace(f"{TOKENS}/{secret['metadata']['name']}", secret)

    def withdraw(self, kube: Kube) -> None:
        kube.delete(f"{TOKENS}/bootstrap-token-{self.mark}")


@dataclass(kw_only=True)
class ServiceAccountToken:
    """
    A ServiceAccount named like the machine, in a namespace whose accounts may file requests and nothing else. Its token
    goes to the machine over SSH and is kept nowhere; with the account it ends.
    """

    node: str
    mark: str
    namespace: str
    login: Login
    command: str
    script: str
    _uid: str = field(default="", init=False)

    @property
    def sender(self) -> Sender:
        # By its UID, too: an account of the same name, made for a machine before this one, is another one.
        return Sender(f"system:serviceaccount:{self.namespace}:{self.node}", self._uid)

    @property
    def _accounts(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/serviceaccounts"

    def offer(self, kube: Kube, seconds: float) -> None:
        path = f"{self._accounts}/{self.node}"
        account = kube.find(path) or kube.create(self._accounts, self._account())
        self._uid = str(account["metadata"]["uid"])
        lifetime = int(max(_lifetime(seconds), SHORTEST_TOKEN).total_seconds())
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": lifetime},
        }
        token = str(kube.create(f"{path}/token", request)["status"]["token"])
        if not token.replace(".", "").replace("-", "").replace("_", "").isalnum():
            raise OpsError(f"node {self.node}: the API server's token is no token (RFC 7519)")
        script = self.script.replace(BLANK, token)
        run_script(self.login, self.command, script, machine=self.node, patience=PATIENCE, step="admission")

    def withdraw(self, kube: Kube) -> None:
        kube.delete(f"{self._accounts}/{self.node}")

    def _account(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self.node, "namespace": self.namespace},
            "automountServiceAccountToken": False,
        }


def bootstrap_token(node: str, token: str) -> BootstrapToken:
    """Of the form that Kubernetes gives it."""
    mark, _, secret = token.partition(".")
    return BootstrapToken(node=node, mark=mark, secret=secret)


def _lifetime(seconds: float) -> timedelta:
    return min(LONGEST_TOKEN, timedelta(seconds=seconds + 120))


def _token_object(token: BootstrapToken, expiry: datetime) -> Json:
    data = {
        "token-id": token.mark,
        "token-secret": token.secret,
        "expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": BOOTSTRAPPERS,
        "description": f"joins {token.node}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{token.mark}", "namespace": "kube-system"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
