"""The API server over the official client: paths in, objects out, errors with the cluster's address."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from functools import lru_cache
from typing import Any

from lab.plugins.base import Call, PluginError

FIELD_MANAGER = "pulumi-kubernetes"
TRIES = 6
PAUSE_SECONDS = 2.0
TIMEOUT = (5.0, 30.0)  # connect, read
_lock = threading.Lock()


class ClusterUnreachable(PluginError):
    pass


class ApiRefused(PluginError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    def __init__(self, call: Call) -> None:
        kubeconfig = str(call.config.get("kubeconfig") or "")
        if not kubeconfig:
            raise PluginError(
                "the kubernetes provider has no kubeconfig. Give it the contents of one; the stand-in never "
                "uses ~/.kube/config, which is somebody else's cluster."
            )
        self._call = call
        with _lock:
            self._api = _api_client(kubeconfig, str(call.config.get("context") or ""))
        self.server = self._api.configuration.host

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        return self._request("GET", path, query)

    def apply(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        applied = self._request("PATCH", path, query, manifest, "application/apply-patch+yaml")
        if applied is None:
            # Only the namespace in the path can be missing: apply creates the object itself.
            raise PluginError(f"{path} not found: does the namespace exist?")
        return applied

    def delete(self, path: str) -> dict[str, Any] | None:
        return self._request("DELETE", path, {"propagationPolicy": "Background"})

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any] | None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        for attempt in range(1, TRIES + 1):
            try:
                # As bytes: the client prints a Python dict for a content type that it does not know as JSON.
                request = self._api.param_serialize(
                    method, path, query_params=list(query.items()), auth_settings=["BearerToken"],
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    body=json.dumps(body).encode() if body is not None else None,
                )  # fmt: skip
                response = self._api.call_api(*request, _request_timeout=TIMEOUT)
                text = response.read()
                if not 200 <= response.status <= 299:
                    raise ApiException(status=response.status, body=text.decode(errors="replace"))
                return dict(json.loads(text or b"{}"))
            except ApiException as problem:
                if problem.status == 404:
                    return None
                # Starting or overloaded; the rest is a verdict (500: a field that it does not know).
                if problem.status not in (429, 502, 503, 504) or attempt == TRIES:
                    raise ApiRefused(_message(problem), problem.status or 0) from None
            except (HTTPError, OSError) as problem:
                if attempt == TRIES:
                    raise ClusterUnreachable(
                        f"the cluster at {self.server} does not answer ({attempt} tries): {_root(problem)}"
                    ) from None
            self._call.log(f"waiting for the API server at {self.server} (try {attempt})", passing=True)
            if self._call.cancelled.wait(PAUSE_SECONDS):
                raise PluginError(f"cancelled while waiting for the cluster at {self.server}")
        raise AssertionError("the loop returns or raises")


@lru_cache(maxsize=8)
def _api_client(kubeconfig: str, context: str) -> Any:
    import yaml
    from kubernetes.config import kube_config

    new_client: Any = kube_config.new_client_from_config_dict
    try:
        parsed = yaml.safe_load(kubeconfig)
        # The client writes certificates and keys into files, because Python's TLS reads them only from there.
        return new_client(
            parsed, context=context or None, persist_config=False, temp_file_path=_private_folder()
        )
    except Exception as problem:
        raise PluginError(f"provider kubernetes: this kubeconfig cannot be used: {problem}") from None


@lru_cache(maxsize=1)
def _private_folder() -> str:
    """Emptied by the next plugin if this one is killed."""
    from tools.paths import lab_dir

    parent = lab_dir() / "pulumi" / "kube"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for stale in parent.glob("*-*"):
        pid = stale.name.split("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            for file in stale.iterdir():
                file.unlink(missing_ok=True)
            stale.rmdir()
    return tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent)


def _message(problem: Any) -> str:
    """The API server's own sentence out of its Status object."""
    try:
        return str(json.loads(problem.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{problem.status} {problem.reason}"


def _root(problem: BaseException) -> str:
    """The innermost reason: `connection refused`, not four layers of pools around it."""
    while (reason := getattr(problem, "reason", None)) is not None:
        if not isinstance(reason, BaseException):
            return str(reason)
        problem = reason
    return str(problem)
