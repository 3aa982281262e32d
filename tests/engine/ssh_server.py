"""An SSH server on loopback that runs commands, for as long as a test wants it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncssh


@dataclass(frozen=True)
class Server:
    port: int
    host_key: str
    client_key: str  # a private key that may log in

    def connection(self, **changes: object) -> dict[str, object]:
        login = {"host": "127.0.0.1", "port": self.port, "user": "root", "privateKey": self.client_key}
        return {**login, "hostKey": self.host_key, "dialErrorLimit": 2, **changes}


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@contextmanager
def ssh_server() -> Iterator[Server]:
    host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host], process_factory=_run, server_factory=_Server,
            authorized_client_keys=asyncssh.import_authorized_keys(public(client)),
        )  # fmt: skip

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    private = client.export_private_key().decode()
    try:
        yield Server(acceptor.get_port(), public(host), private)
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


class _Server(asyncssh.SSHServer):
    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True  # a jump host forwards


async def _run(process: asyncssh.SSHServerProcess[str]) -> None:
    shell = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await shell.communicate((await process.stdin.read()).encode())
    process.stdout.write(out.decode())
    process.stderr.write(err.decode())
    process.exit(shell.returncode or 0)
