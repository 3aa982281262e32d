"""Start one stand-in: `python -m lab.plugins.serve NAME [ENGINE_ADDRESS]` prints the port it listens on."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from concurrent import futures
from typing import Any

import grpc

from lab.plugins.base import Package
from lab.plugins.engine_log import EngineLog
from lab.plugins.protos import provider_pb2_grpc
from lab.plugins.server import Servicer

# The engine waits inside a call for as long as a machine needs to boot; idle threads cost nothing.
THREADS = 64
MESSAGE_LIMIT = 400 * 1024 * 1024


def main(argv: list[str]) -> None:
    package: Package = importlib.import_module(f"lab.plugins.{argv[0]}").package
    log = EngineLog()
    if len(argv) > 1:
        log.connect(argv[1])
    servicer = Servicer(package, log)
    options = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Thread(target=_end_with_engine, args=(servicer,), daemon=True).start()
    server.wait_for_termination()


def _end_with_engine(servicer: Any) -> None:
    """The engine holds our standard input open while it lives; killed, it must leave nobody behind."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    servicer.cancelled.set()
    from lab.plugins import processes

    processes.kill_all()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
