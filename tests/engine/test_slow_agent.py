"""An SSH agent that answers too late for one try spoils no later one: with a real agent, and a proxy in front of it."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.plugins.command.remote import RemoteCommand
from ops.ssh import Login, run_script
from tests.engine.bench import call
from tests.engine.ssh_server import Server, ssh_server

SIGN_REQUEST = 13  # draft-miller-ssh-agent
GIVEN_UP_AFTER, LATE = 1, 2.0


class _Late(socketserver.ThreadingUnixStreamServer):
    """Passes everything on to the agent, and holds back the answer to the first request for a signature."""

    daemon_threads = True

    def __init__(self, path: Path, agent: Path) -> None:
        self.agent, self.held = str(agent), threading.Event()
        super().__init__(str(path), _Conversation)


class _Conversation(socketserver.StreamRequestHandler):
    server: _Late

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self.server.agent)
            answers = agent.makefile("rb")
            while request := _message(self.rfile):
                agent.sendall(request)
                answer = _message(answers)
                if request[4] == SIGN_REQUEST and not self.server.held.is_set():
                    self.server.held.set()
                    time.sleep(LATE)
                try:
                    self.wfile.write(answer)
                except OSError:
                    return


def _message(stream: object) -> bytes:
    head = stream.read(4)  # type: ignore[attr-defined]
    return head + stream.read(int.from_bytes(head, "big")) if head else b""  # type: ignore[attr-defined]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A machine, and the operator's key in an agent that is late once."""
    real, late, key = tmp_path / "real.sock", tmp_path / "late.sock", tmp_path / "key"
    with ssh_server() as machine:
        key.touch(mode=0o600)
        key.write_text(machine.client_key)
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", real], stdout=subprocess.DEVNULL)
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(real))
            while subprocess.run(["ssh-add", "-q", key], capture_output=True, check=False).returncode:
                assert agent.poll() is None
                time.sleep(0.02)
            with _Late(late, real) as proxy:
                threading.Thread(target=proxy.serve_forever, daemon=True).start()
                monkeypatch.setenv("SSH_AUTH_SOCK", str(late))
                yield machine
                proxy.shutdown()
                assert proxy.held.is_set(), "nobody was kept waiting: the test proves nothing"
        finally:
            agent.terminate()
            agent.wait()


def test_the_stand_in_for_remote_commands_tries_again(server: Server) -> None:
    login = server.connection(privateKey=None, dialErrorLimit=5, perDialTimeout=GIVEN_UP_AFTER)
    assert RemoteCommand().create(call(), {"connection": login, "create": "echo in"})[1]["stdout"] == "in"


def test_a_node_groups_machine_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.ssh.DIAL_SECONDS", float(GIVEN_UP_AFTER))
    login = Login(host="127.0.0.1", port=server.port, user="root", host_key=server.host_key)
    run_script(login, "cat", "echo in", machine="hub-cpu-1", patience=30)
