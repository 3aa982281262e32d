"""Commands over SSH: only on the machine that is meant, with patience, and errors that name the machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import asyncssh
import pulumi
import pytest
from pulumi_command.remote import Command, ConnectionArgs

from lab.plugins.base import PluginError
from lab.plugins.command.remote import RemoteCommand
from tests.engine.bench import Bench, call
from tests.engine.ssh_server import Server, public, ssh_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with ssh_server() as running:
        yield running


def run(connection: dict[str, object], **inputs: Any) -> dict[str, Any]:
    return RemoteCommand().create(call(), {"connection": connection, **inputs})[1]


def failure(connection: dict[str, object], **inputs: Any) -> str:
    with pytest.raises(PluginError) as caught:
        run(connection, **{"create": "true", **inputs})
    return str(caught.value)


def fingerprint(public_key: str) -> str:
    return str(asyncssh.import_public_key(public_key).get_fingerprint())


def test_a_command_gets_its_input_and_gives_its_output(server: Server) -> None:
    done = run(server.connection(), create="cat; echo said >&2", stdin="over there\n")
    assert (done["stdout"], done["stderr"]) == ("over there", "said")


def test_a_failing_command_names_the_host_and_its_last_lines(server: Server) -> None:
    text = failure(server.connection(), create="echo kubelet is not running >&2; exit 4")
    assert text.startswith('exit status 4: running "echo kubelet is not running >&2; exit 4" on 127.0.0.1:')
    assert text.endswith("kubelet is not running")


def test_another_host_key_is_refused_at_once_with_both_fingerprints(server: Server) -> None:
    other = public(asyncssh.generate_private_key("ssh-ed25519"))
    text = failure(server.connection(hostKey=other, dialErrorLimit=50))
    assert f"127.0.0.1:{server.port} shows another host key than the stack expects" in text
    assert f"got      {fingerprint(server.host_key)}" in text
    assert f"expected {fingerprint(other)}" in text


def test_a_host_key_that_is_none_says_how_to_write_one(server: Server) -> None:
    assert 'write it as in known_hosts, "ssh-ed25519 AAAA..."' in failure(
        server.connection(hostKey="SHA256:abc")
    )


def test_an_unreachable_host_names_address_and_tries() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = failure({"host": "127.0.0.1", "port": port, "dialErrorLimit": 2, "password": "x"})
    assert text == f"SSH: cannot reach 127.0.0.1:{port} after 2 tries: Connection refused"


def test_a_key_that_may_not_log_in_is_a_verdict_about_the_user(server: Server) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    text = failure(server.connection(privateKey=stranger))
    assert f"127.0.0.1:{server.port} does not let user root in" in text
    assert "1 key(s) from privateKey" in text
    assert stranger not in text


def test_a_private_key_that_is_none_is_not_shown(server: Server) -> None:
    text = failure(server.connection(privateKey="no-key-at-all"))
    assert text.startswith("privateKey for 127.0.0.1: cannot be read")
    assert "no-key-at-all" not in text


def test_through_a_jump_host_both_host_keys_count(server: Server) -> None:
    with ssh_server() as inner:
        through = inner.connection(proxy=server.connection())
        assert run(through, create="echo behind")["stdout"] == "behind"
        wrong = server.connection(hostKey=inner.host_key)
        assert f"jump host 127.0.0.1:{server.port} shows another host key" in failure(
            inner.connection(proxy=wrong)
        )
        assert f"SSH: 127.0.0.1:{inner.port} shows another host key" in failure(
            inner.connection(proxy=server.connection(), hostKey=server.host_key)
        )


def test_no_identity_at_all_says_what_could_be_given(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    text = failure(server.connection(privateKey=None))
    assert "no key from privateKey, agentSocketPath or SSH_AUTH_SOCK (none is set)" in text


def test_an_agent_that_does_not_run_is_named(server: Server) -> None:
    assert "SSH agent: cannot use /no/agent" in failure(
        server.connection(privateKey=None, agentSocketPath="/no/agent")
    )


@pytest.mark.engine
def test_a_remote_command_runs_in_the_engine_and_its_key_is_a_secret(bench: Bench, server: Server) -> None:
    def program() -> None:
        connection = ConnectionArgs(
            host="127.0.0.1",
            port=server.port,
            host_key=server.host_key,
            private_key=pulumi.Output.secret(server.client_key),
        )
        pulumi.export("said", Command("said", connection=connection, create="echo there").stdout)

    bench.up(program)
    assert bench.outputs() == {"said": "there"}
    assert server.client_key.splitlines()[1] not in bench.state()
