"""Makes a prepared machine a node: declare it, approve its certificate request, wait until it is Ready."""

from __future__ import annotations

import sys
from contextlib import suppress

from ops import csr
from ops.admission import Pass
from ops.errors import HttpError, OpsError, Unreachable
from ops.http import Json
from ops.kube import CLIENT_SIGNER, CSRS, Kube
from ops.node import JOINED_WITH, NodeSpec, annotation, condition, declare, describe, is_as_declared, is_ready
from ops.wait import Deadline, until_answered

# What is recorded for a node that needs no token, because kubeadm made it.
NO_TOKEN = "kubeadm"


def join(kube: Kube, spec: NodeSpec, admitted_by: Pass | None, timeout: float) -> None:
    """Idempotent: for a node that is Ready and as declared this is one GET."""
    deadline = Deadline(timeout)
    step = f"node {spec.name}: step 'reach the API server {kube.server}'"
    node = until_answered(lambda: kube.find(spec.path), deadline, step, forbidden_for=30)
    mark = admitted_by.mark if admitted_by else NO_TOKEN
    if node and is_ready(node) and is_as_declared(node, spec) and annotation(node, JOINED_WITH) == mark:
        return
    step = f"node {spec.name}: step 'declare'"
    node = until_answered(lambda: declare(kube, spec), deadline, step)
    if not _is_this_machine(node, mark):
        Admission(kube, spec, admitted_by, node, deadline).run()
    joined = {"metadata": {"annotations": {JOINED_WITH: mark}}}
    until_answered(
        lambda: kube.patch(spec.path, joined), deadline, f"node {spec.name}: step 'record the join'"
    )


def _is_this_machine(node: Json, mark: str) -> bool:
    """A Ready node that joined with another token may be the shadow of a machine wiped seconds ago."""
    return is_ready(node) and annotation(node, JOINED_WITH) in (None, mark)


class Admission:
    """The time between a declared and a Ready node, in which the machine's token is valid."""

    def __init__(
        self, kube: Kube, spec: NodeSpec, admitted_by: Pass | None, node: Json, deadline: Deadline
    ) -> None:
        self._kube, self._spec, self._pass, self._deadline = kube, spec, admitted_by, deadline
        self._shadow = node if is_ready(node) else None
        self._shadow_lease = self._lease() if self._shadow else None
        self._approved = 0
        self._node: Json | None = node
        self._requests: dict[str, str] = {}
        self._trouble = ""

    def run(self) -> None:
        if self._pass is None:
            self._wait()
            return
        try:
            self._offer(self._pass)
            self._wait()
        finally:
            # Best effort: it ends by itself within the hour.
            with suppress(OpsError):
                self._pass.withdraw(self._kube)

    def _wait(self) -> None:
        while True:
            try:
                if self._pass:
                    self._approve_requests(self._pass.sender)
                self._node = self._kube.find(self._spec.path)
                self._trouble = ""
                if self._node and self._is_admitted(self._node):
                    return
            except (Unreachable, HttpError) as error:
                if isinstance(error, HttpError) and not error.transient and error.status != 409:
                    raise OpsError(f"{self._at(self._step)}: {error}") from error
                self._trouble = str(error)
            if self._deadline.expired:
                raise OpsError(self._timeout_message())
            self._deadline.pause()

    @property
    def _step(self) -> str:
        waits = self._pass and not self._approved
        return "wait for the machine's certificate request" if waits else "wait until Ready"

    def _at(self, step: str) -> str:
        return f"node {self._spec.name}: step '{step}'"

    def _is_admitted(self, node: Json) -> bool:
        if not is_ready(node):
            self._shadow = None  # what follows comes from a living kubelet
            return False
        if self._shadow is None:
            return True
        if self._approved:
            before, now = condition(self._shadow), condition(node)
            return bool(now.get("lastHeartbeatTime") != before.get("lastHeartbeatTime"))
        # No request came, but the kubelet renews its lease: the same machine, only its token is new.
        return self._lease() != self._shadow_lease

    def _lease(self) -> str | None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self._spec.name}"
        read = self._at("read the node's lease")
        lease = until_answered(lambda: self._kube.find(path), self._deadline, read) or {}
        renewed: str | None = lease.get("spec", {}).get("renewTime")
        return renewed

    def _offer(self, admitted_by: Pass) -> None:
        offer = self._at("offer the token of its admission")
        until_answered(lambda: admitted_by.offer(self._kube, self._deadline.seconds), self._deadline, offer)

    def _approve_requests(self, sender: csr.Sender) -> None:
        for request in self._kube.list(CSRS, fieldSelector=f"spec.signerName={CLIENT_SIGNER}"):
            name = request["metadata"]["name"]
            decided = name in self._requests or request.get("status", {}).get("conditions")
            if decided or not sender.sent(request):
                continue
            if found := csr.objections(request, self._spec.name, sender):
                self._requests[name] = f"{name} refused ({'; '.join(found)})"
                print(f"WARNING node {self._spec.name}: {self._requests[name]}", file=sys.stderr, flush=True)
                continue
            self._approve(request)
            self._requests[name] = f"{name} approved"
            self._approved += 1
            print(f"node {self._spec.name}: certificate request {name} approved", file=sys.stderr, flush=True)

    def _approve(self, request: Json) -> None:
        approved = {
            "type": "Approved",
            "status": "True",
            "reason": "TailspanJoin",
            "message": f"{self._spec.name} asked with its own token",
        }
        body = request | {"status": {"conditions": [approved]}}
        self._kube.replace(f"{CSRS}/{request['metadata']['name']}/approval", body)

    def _timeout_message(self) -> str:
        seen = ", ".join(self._requests.values()) or "none with this machine's token"
        text = f"{self._at(self._step)}: not done within {self._deadline.seconds:.0f} s"
        text += f"; {describe(self._node)}; certificate requests seen: {seen}"
        if self._trouble:
            text += f"; last trouble: {self._trouble}"
        return f"{text}; look at `journalctl -u kubelet` on {self._spec.name}"
