"""The tailnet's control server: headscale with an embedded relay, at a public address of the lab."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab import addresses, keys, processes
from lab.preflight import program
from lab.shell import inside, run
from tools import paths

URL = f"https://{addresses.HEADSCALE}"
USER = "tailspan"
_STARTS_WITHIN = 30.0
# How often gateways that advertise the same prefix are probed: the shortest that headscale takes.
SHORTEST_PROBING = {"probe_interval": "2s", "probe_timeout": "1s"}


def folder() -> Path:
    return paths.lab_dir() / "headscale"


def config(folder: Path, probing: Mapping[str, str] = SHORTEST_PROBING) -> dict[str, Any]:
    address = str(addresses.HEADSCALE)
    return {
        "server_url": URL,
        # On 443: after the first contact clients dial 443 whatever the login URL says.
        "listen_addr": f"{address}:443",
        "metrics_listen_addr": "127.0.0.1:9090",
        "grpc_listen_addr": "127.0.0.1:50443",
        "noise": {"private_key_path": str(folder / "noise.key")},
        "tls_cert_path": str(folder / "server.pem"),
        "tls_key_path": str(folder / "server.key"),
        "prefixes": {"v4": "100.64.0.0/10", "allocation": "sequential"},
        "derp": {
            "server": {
                "enabled": True,
                "region_id": 900,
                "region_code": "lab",
                "region_name": "tailspan lab",
                "verify_clients": True,
                "stun_listen_addr": f"{address}:3478",
                "private_key_path": str(folder / "derp.key"),
                "automatically_add_embedded_derp_region": True,
                "ipv4": address,
            },
            # No relay of anybody else: the lab has no way out.
            "urls": [],
            "paths": [],
            "auto_update_enabled": False,
        },
        "disable_check_updates": True,
        "logtail": {"enabled": False},
        "node": {
            "expiry": "0",
            "ephemeral": {"inactivity_timeout": "120s"},
            # The route agent must not need it.
            "routes": {"ha": dict(probing)},
        },
        # How long changes are gathered before clients hear of them; the defaults are most of a take-over.
        "tuning": {"batch_change_delay": "100ms", "node_store_batch_timeout": "50ms"},
        "database": {
            "type": "sqlite",
            "sqlite": {"path": str(folder / "db.sqlite"), "write_ahead_log": True},
        },
        "policy": {"mode": "database"},
        "dns": {
            "magic_dns": False,
            "override_local_dns": False,
            "base_domain": "tailnet.internal",
            "nameservers": {"global": []},
        },
        "unix_socket": str(folder / "headscale.sock"),
        "unix_socket_permission": "0700",
        "log": {"level": "info", "format": "text"},
    }


def ensure(probing: Mapping[str, str] = SHORTEST_PROBING) -> str:
    """Headscale runs, has the lab's user and an API key; returns the key."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys.server_certificate(home, addresses.HEADSCALE)
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(config(home, probing), sort_keys=False))
    binary = program("headscale")
    if processes.daemon("headscale") is None:
        _start(binary, file)
    _ensure_user()
    return _api_key(file)


def ca_pem() -> str:
    return (folder() / "ca.pem").read_text()


def _start(binary: str, file: Path) -> None:
    (file.parent / "headscale.sock").unlink(missing_ok=True)
    log = file.parent / "headscale.log"
    pid = processes.start_daemon([*inside(addresses.INTERNET), binary, "serve", "--config", file], log)
    ca = file.parent / "ca.pem"
    processes.wait_for("headscale", log, lambda: _healthy(ca), within=_STARTS_WITHIN, pid=pid)


def _healthy(ca: Path) -> bool:
    # Over the operator's link and with the authority checked, as every client will.
    context = ssl.create_default_context(cafile=str(ca))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{URL}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ensure_user() -> None:
    users = json.loads(command("users", "list") or "null") or []
    if not any(user.get("name") == USER for user in users):
        command("users", "create", USER)


def _api_key(file: Path) -> str:
    kept = file.parent / "api_key"
    if not kept.exists():
        made = json.loads(command("apikeys", "create", "--expiration", "365d"))
        keys.private_file(kept, str(made).encode())
    return kept.read_text()


def command(*words: str) -> str:
    """Runs headscale's own command line against the server that runs; returns its JSON."""
    argv = [program("headscale"), "--config", str(folder() / "config.yaml"), "--output", "json", *words]
    return run([*inside(addresses.INTERNET), *argv]).stdout
