"""The cluster as its operator sees it: deploy probes, run commands in pods, take everything away."""

from __future__ import annotations

import atexit
import importlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import urllib3
import yaml

from check import manifests
from check.manifests import NAMESPACES, Json
from check.result import CheckError

FORGOTTEN = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a command in a pod left behind; `code` is None if it did not end or could not start."""

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def trouble(self) -> str:
        text = (self.err or self.out).strip().replace("\n", " ")[-160:]
        return text or ("it was cut off" if self.code is None else f"exit status {self.code}")


@dataclass(frozen=True, kw_only=True)
class Pod:
    name: str
    node: str
    ip: str


class Cluster:
    """The official client, imported when first used: that alone takes half a second."""

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig
        self.namespace = f"{NAMESPACES}-{secrets.token_hex(3)}"

    @cached_property
    def _client(self) -> Any:
        return importlib.import_module("kubernetes.client")

    @cached_property
    def _configuration(self) -> Any:
        load: Any = importlib.import_module("kubernetes.config").load_kube_config_from_dict
        settings = self._client.Configuration()
        settings.retries = 1
        try:
            document = yaml.safe_load(self._kubeconfig)
            # The client writes keys to files; they go to a private folder in memory where there is one.
            load(document, client_configuration=settings, temp_file_path=_private_folder())
        except Exception as error:
            raise CheckError(f"kubeconfig: {error}") from error
        return settings

    def _api(self, group: str = "CoreV1Api") -> Any:
        # One per call: the exec of the official client swaps a method of it for the duration of a call.
        return getattr(self._client, group)(self._client.ApiClient(self._configuration))

    def _plain(self, answer: Any) -> Any:
        return self._client.ApiClient(self._configuration).sanitize_for_serialization(answer)

    def nodes(self) -> list[Json]:
        items: list[Json] = self._plain(self._api().list_node(_request_timeout=10))["items"]
        return items

    def version(self) -> str:
        return str(self._api("VersionApi").get_code(_request_timeout=10).git_version)

    def pods(self, selector: str, namespace: str | None = None) -> list[Json]:
        where = namespace or self.namespace
        answer = self._api().list_namespaced_pod(where, label_selector=selector, _request_timeout=10)
        items: list[Json] = self._plain(answer)["items"]
        return items

    def logs(self, pod: str) -> str:
        read = self._api().read_namespaced_pod_log
        return str(read(pod, self.namespace, tail_lines=5, _request_timeout=10))

    def exec(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str | None = None,
        container: str = "probe",
        timeout: float = 30,
    ) -> Run:
        stream: Any = importlib.import_module("kubernetes.stream").stream
        start = time.monotonic()
        try:
            channel = stream(
                self._api().connect_get_namespaced_pod_exec,
                pod,
                namespace or self.namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _preload_content=False,
            )
            channel.run_forever(timeout=timeout)
            ended = not channel.is_open()
            out, err = channel.read_stdout() or "", channel.read_stderr() or ""
            channel.close()
            code = _exit_status(channel) if ended else None
        except Exception as error:
            return Run(code=None, out="", err=f"exec: {error}", seconds=time.monotonic() - start)
        if not ended:
            err += f" (no end within {timeout:.0f} s)"
        return Run(code=code, out=out, err=err, seconds=time.monotonic() - start)

    def deploy(self, image: str, regions: Sequence[str]) -> dict[str, str]:
        """Starts the probes; returns the cluster IP of each region's Service."""
        self._remove_forgotten()
        core, name = self._api(), self.namespace
        core.create_namespace(manifests.namespace(name))
        self._api("AppsV1Api").create_namespaced_daemon_set(name, manifests.probe(name, image))
        made = {r: core.create_namespaced_service(name, manifests.service(name, r)) for r in regions}
        return {region: str(service.spec.cluster_ip) for region, service in made.items()}

    def await_probes(self, nodes: Sequence[str], timeout: float) -> tuple[dict[str, Pod], dict[str, str]]:
        """The running probe of each node, and for each missing one what keeps it."""
        end = time.monotonic() + timeout
        while True:
            pods = {pod["spec"].get("nodeName", ""): pod for pod in self.pods("app=probe")}
            running = {node: _running(pods[node]) for node in nodes if node in pods}
            found = {node: pod for node, pod in running.items() if pod}
            if len(found) == len(nodes) or time.monotonic() > end:
                return found, {node: _why_not(pods.get(node)) for node in nodes if node not in found}
            time.sleep(0.3)

    def publish(self, region: str, addresses: Sequence[str]) -> None:
        endpoints = manifests.endpoints(self.namespace, region, addresses)
        self._api("DiscoveryV1Api").create_namespaced_endpoint_slice(self.namespace, endpoints)

    def remove(self) -> None:
        """Takes everything away; the cluster finishes that by itself."""
        with suppress(self._client.ApiException, urllib3.exceptions.HTTPError):
            self._api().delete_namespace(self.namespace, _request_timeout=10)

    def _remove_forgotten(self) -> None:
        """What a killed run left behind; a younger one may still be running."""
        core = self._api()
        found = core.list_namespace(
            label_selector=f"app.kubernetes.io/name={NAMESPACES}", _request_timeout=10
        )
        for namespace in found.items:
            if datetime.now(UTC) - namespace.metadata.creation_timestamp > FORGOTTEN:
                with suppress(self._client.ApiException):
                    core.delete_namespace(namespace.metadata.name, _request_timeout=10)


def explain(error: Exception) -> str | None:
    """One line for an API server that does not answer or refuses; None for anything else."""
    if isinstance(error, urllib3.exceptions.HTTPError):
        return (
            f"no answer from the API server ({str(error)[:200]}); is the stack up, are you in `access.allow`?"
        )
    status, reason = getattr(error, "status", None), getattr(error, "reason", "")
    return f"the API server refuses: {status} {reason}" if status is not None else None


def _private_folder() -> str | None:
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        return None
    folder = tempfile.mkdtemp(dir=memory)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _exit_status(channel: Any) -> int | None:
    try:
        code: int = channel.returncode
    except (KeyError, TypeError, IndexError, ValueError):
        return None  # the command could not be started; the text says why
    return code


def _running(pod: Json) -> Pod | None:
    status = pod.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    if not ready or not status.get("podIP") or pod["metadata"].get("deletionTimestamp"):
        return None
    return Pod(name=pod["metadata"]["name"], node=pod["spec"]["nodeName"], ip=status["podIP"])


def _why_not(pod: Json | None) -> str:
    if pod is None:
        return "no pod was made for it: is the Node there?"
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating"):
            return f"{waiting['reason']}: {waiting.get('message', '')}"[:200]
    false = [c for c in status.get("conditions") or () if c["status"] != "True" and c.get("message")]
    unknown = f"phase {status.get('phase', 'unknown')}: kubelet or CNI of the node?"
    return str(false[0]["message"] if false else unknown)[:200]
