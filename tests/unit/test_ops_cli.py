"""`python -m ops v1 <verb>`: what Pulumi's state relies on for years."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from ops.__main__ import main
from ops.errors import OpsError
from ops.kube import credentials
from tests.unit.ops_server import ready, serving


def run(monkeypatch: pytest.MonkeyPatch, stdin: str, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    return main(list(arguments))


def test_secret_is_64_hex_digits_and_new_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["v1", "secret"]) == 0
    assert main(["v1", "secret"]) == 0
    first, second = (json.loads(line)["seed"] for line in capsys.readouterr().out.splitlines())
    assert len(bytes.fromhex(first)) == 32
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        ((), "", "python -m ops v1 <secret|join|update|leave|device-delete|device-keep|group-retire|"),
        (("v2", "join"), "", "python -m ops v1"),
        (("v1", "dance"), "", "unknown verb 'dance'"),
        (("v1", "join"), "{", "stdin: not JSON"),
        (("v1", "join"), "[]", "stdin: a JSON object is expected, got a list"),
        (("v1", "join"), "{}", "stdin: node is missing"),
        (("v1", "join"), '{"node": {"name": 5}}', "stdin: node.name is a int"),
        (("v1", "join"), '{"node": {"name": "a", "pod_cidr": "b", "taints": [{"key": "k"}]}}', "node.taints"),
        (("v1", "device-delete"), '{"hostname": "a"}', "stdin: device.tailnet is missing"),
        (("v1", "device-delete"), '{"hostname": "a", "tailnet": {"kind": "x", "api_key": "k"}}', "got 'x'"),
    ],
)
def test_bad_calls_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    stdin: str,
    says: str,
) -> None:
    assert run(monkeypatch, stdin, *arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ops: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_delete_stored_by_the_first_release_still_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        server.objects["/api/v1/nodes/gpu-a"] = {"metadata": {"name": "gpu-a"}, "status": ready(False)}
        server.hook = lambda _s, _m, path, _b: (200, {"nodes": []}) if path == "/api/v1/node" else None
        stored = {
            "kubeconfig": server.kubeconfig,
            "node": {
                "name": "gpu-a",
                "pod_cidr": "10.129.10.0/24",
                "provider_id": "p",
                "labels": {},
                "taints": [],
            },
            "token": "abc123.0123456789abcdef",
            "device": {
                "tailnet": {
                    "kind": "headscale",
                    "url": server.url,
                    "api_key": "k",
                    "ca": None,
                    "tailnet": None,
                },
                "hostname": "gpu-a",
            },
            "ready_timeout": 300,
            "a_key_of_a_later_release": True,
        }
        assert run(monkeypatch, json.dumps(stored), "v1", "leave") == 0
    assert json.loads(capsys.readouterr().out) == {"node": "gpu-a", "deleted": True, "devices": []}


def kubeconfig(cluster: str, user: str) -> str:
    return (
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        f"clusters: [{{name: k, cluster: {cluster}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )


def test_certificates_come_inline_or_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("KEY")
    user = f"{{client-certificate-data: Q0VSVA==, client-key: {tmp_path}/key}}"
    found = credentials(kubeconfig("{server: 'https://h:6443', certificate-authority-data: Q0E=}", user))
    assert (found.ca_pem, found.client_pem) == ("CA", "CERT\nKEY")


def test_a_server_name_and_a_token_are_honoured() -> None:
    cluster = "{server: 'https://h', tls-server-name: api.dev, insecure-skip-tls-verify: true}"
    found = credentials(kubeconfig(cluster, "{token: t}"))
    assert (found.server_name, found.authorization, found.verify) == ("api.dev", "Bearer t", False)


def test_a_login_program_is_run_by_the_official_client(tmp_path: Path) -> None:
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t9"},
    }
    program = tmp_path / "login"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    version = answer["apiVersion"]
    login = f"{{exec: {{apiVersion: {version}, command: {program}, interactiveMode: Never}}}}"
    found = credentials(kubeconfig("{server: 'https://h'}", login))
    assert (found.server, found.authorization) == ("https://h", "Bearer t9")


@pytest.mark.parametrize("text", ["", "[]", "{", "current-context: c", kubeconfig("{}", "{}")])
def test_a_useless_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match="kubeconfig: no usable current context"):
        credentials(text)
