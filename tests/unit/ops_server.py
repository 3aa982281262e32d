"""An API server small enough to hold in the head: objects by path, merge patches, scripted answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, Any]
Hook = Callable[["FakeServer", str, str, Json | None], tuple[int, Json] | None]


class FakeServer:
    """`objects` is the whole state; `hook` may answer a request itself; `log` holds every (method, path)."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.log: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.hook: Hook | None = None
        self.lock = threading.RLock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> str:
        return json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": self.url}}],
                "users": [{"name": "u", "user": {"token": "operator"}}],
            }
        )

    def writes(self) -> list[tuple[str, str]]:
        return [entry for entry in self.log if entry[0] != "GET"]

    def answer(self, method: str, target: str, body: Json | None) -> tuple[int, Json]:
        url = urlsplit(target)
        with self.lock:
            self.log.append((method, url.path))
            if body is not None:
                self.bodies.append(body)
            if self.hook and (result := self.hook(self, method, url.path, body)):
                return result
            return getattr(self, f"_{method.lower()}")(url.path, parse_qs(url.query), body)  # type: ignore[no-any-return]

    def _get(self, path: str, query: dict[str, list[str]], _body: Json | None) -> tuple[int, Json]:
        if path in self.objects:
            return 200, self.objects[path]
        items = [value for key, value in self.objects.items() if key.rpartition("/")[0] == path]
        if path == "/api/v1/pods":
            node = query["fieldSelector"][0].partition("=")[2]
            items = [pod for key, pod in self.objects.items() if "/pods/" in key]
            items = [pod for pod in items if pod["spec"]["nodeName"] == node]
        for wanted in query.get("labelSelector", []):
            pairs = {tuple(pair.split("=")) for pair in wanted.split(",")}
            items = [item for item in items if pairs <= (item["metadata"].get("labels") or {}).items()]
        plural = path.rpartition("/")[2]
        is_list = plural in ("pods", "nodes", "certificatesigningrequests", "node", "devices")
        return (200, {"items": items}) if is_list else (404, {"message": f"{path} not found"})

    def _post(self, path: str, _query: object, body: Json | None) -> tuple[int, Json]:
        assert body is not None
        if path.endswith("/eviction"):
            del self.objects[path.removesuffix("/eviction")]
            return 201, {}
        key = f"{path}/{body['metadata']['name']}"
        if key in self.objects:
            return 409, {"message": "already exists"}
        body["metadata"]["resourceVersion"] = "1"
        self.objects[key] = body
        return 201, body

    def _put(self, path: str, _query: object, body: Json | None) -> tuple[int, Json]:
        assert body is not None
        self.objects[path.removesuffix("/approval")] = body
        return 200, body

    def _patch(self, path: str, _query: object, body: Json | None) -> tuple[int, Json]:
        # As the API server: the status changes by its own path only, and nothing else does there.
        whole, body = path.removesuffix("/status"), dict(body or {})
        if whole not in self.objects:
            return 404, {"message": "not found"}
        if path != whole:
            body = {"status": body.get("status", {})}
        else:
            body.pop("status", None)
        merge(self.objects[whole], body)
        return 200, self.objects[whole]

    def _delete(self, path: str, _query: object, _body: Json | None) -> tuple[int, Json]:
        return (200, {}) if self.objects.pop(path, None) is not None else (404, {"message": "not found"})


def merge(target: Json, patch: Json) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


@contextmanager
def serving() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet per answer: two would wait for each other (Nagle, delayed ACK)

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, result = fake.answer(self.command, self.path, body)
            text = json.dumps(result).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate_request(name: str, node: str, token_id: str, organization: str = "system:nodes") -> Json:
    subject = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, f"system:node:{node}")]
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in subject]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return {
        "metadata": {"name": name},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "username": f"system:bootstrap:{token_id}",
            "usages": ["digital signature", "client auth"],
            "request": base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode(),
        },
    }


def ready(value: bool, heartbeat: str = "t0") -> Json:
    status = "True" if value else "Unknown"
    entry = {
        "type": "Ready",
        "status": status,
        "reason": "Why",
        "message": "m",
        "lastHeartbeatTime": heartbeat,
    }
    return {"conditions": [entry], "allocatable": {"pods": "30"}}
