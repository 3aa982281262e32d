"""The few API server calls that joining and leaving need, from a kubeconfig given as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ops.errors import HttpError, OpsError
from ops.http import MERGE_PATCH, Json, JsonClient, trusting_only

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What one context of a kubeconfig boils down to."""

    server: str
    ca_pem: str | None = None
    client_pem: str | None = None
    authorization: str | None = None
    server_name: str | None = None
    verify: bool = True


def credentials(kubeconfig: str) -> Credentials:
    """Resolves the current context; what runs a program to log in is left to the official client."""
    try:
        document = yaml.load(kubeconfig, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"] or {}
        server = cluster["server"]
    except (yaml.YAMLError, KeyError, TypeError, StopIteration):
        raise OpsError("kubeconfig: no usable current context in it") from None
    if {"exec", "auth-provider"} & set(user) or "proxy-url" in cluster:
        return _by_official_client(document)
    certificate, key = _text(user, "client-certificate"), _text(user, "client-key")
    token = user.get("token") or (Path(user["tokenFile"]).read_text().strip() if "tokenFile" in user else "")
    return Credentials(
        server=server,
        ca_pem=_text(cluster, "certificate-authority"),
        client_pem=f"{certificate}\n{key}" if certificate and key else None,
        authorization=f"Bearer {token}" if token else None,
        server_name=cluster.get("tls-server-name"),
        verify=not cluster.get("insecure-skip-tls-verify", False),
    )


def _named(document: Json, kind: str, name: str) -> Json:
    found: Json = next(entry for entry in document[kind] if entry["name"] == name)
    return found


def _text(entry: Json, key: str) -> str | None:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data).decode()
    return Path(entry[key]).read_text() if key in entry else None


def _by_official_client(document: Json) -> Credentials:
    from kubernetes import client, config

    settings: Any = client.Configuration()
    load: Any = config.load_kube_config_from_dict
    load(document, client_configuration=settings)
    if settings.proxy:
        raise OpsError("kubeconfig: proxy-url is not supported; write a server that is reached directly")
    pair = [Path(name).read_text() for name in (settings.cert_file, settings.key_file) if name]
    return Credentials(
        server=settings.host,
        ca_pem=Path(settings.ssl_ca_cert).read_text() if settings.ssl_ca_cert else None,
        client_pem="\n".join(pair) or None,
        authorization=settings.get_api_key_with_prefix("BearerToken", alias="authorization"),
        server_name=settings.tls_server_name,
        verify=settings.verify_ssl,
    )


class Kube:
    """An API server: get, create, patch, replace and delete by path."""

    def __init__(self, access: Credentials, timeout: float = 15) -> None:
        headers = {"Authorization": access.authorization} if access.authorization else {}
        context = trusting_only(access.ca_pem, access.client_pem, verify=access.verify)
        self._client = JsonClient(
            access.server, context, headers, server_name=access.server_name, timeout=timeout
        )

    @property
    def server(self) -> str:
        return self._client.base

    @property
    def server_time(self) -> datetime:
        """The API server's clock as of its last answer: the operator's own may be wrong."""
        return self._client.server_time

    def find(self, path: str) -> Json | None:
        try:
            return self._client.request("GET", path)
        except HttpError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **selectors: str) -> list[Json]:
        items: list[Json] = self._client.request("GET", path, query=selectors).get("items") or []
        return items

    def create(self, path: str, body: Json, query: Mapping[str, str] | None = None) -> Json:
        return self._client.request("POST", path, body=body, query=query)

    def replace(self, path: str, body: Json) -> Json:
        return self._client.request("PUT", path, body=body)

    def patch(self, path: str, body: Json) -> Json:
        return self._client.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    def delete(self, path: str) -> bool:
        """False if there was nothing to delete."""
        try:
            self._client.request("DELETE", path)
        except HttpError as error:
            if error.status == 404:
                return False
            raise
        return True
