"""What a rehearsal's stand-ins answer: made up, recognisable, the same every time; and where such answers may go."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from lab.plugins.base import PluginError

# Lies in the state folder of a rehearsal, and in no other.
THROW_AWAY = "THROW-AWAY"
# Names the file with the tailnet policy that a rehearsal finds.
REHEARSED_POLICY = "TAILSPAN_REHEARSED_POLICY"
# The form of a key, so that it passes every check of one; it is nobody's.
REHEARSED_HOST_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"


def refuse_lasting_state(backend_url: str) -> None:
    """A rehearsal's made-up answers must never get into a state that somebody believes."""
    folder = backend_url.removeprefix("file://")
    if not backend_url.startswith("file://") or not (Path(folder) / THROW_AWAY).exists():
        raise PluginError(
            f"a rehearsal writes made-up resources, and the state at {backend_url or '(no backend)'} is not marked as "
            f"one to throw away. Run it through `make preview BASE=...`, which makes a state of its own."
        )


def rehearsed_stdout() -> str:
    """
    One answer for every command: it holds each value that the program reads out of some command's output
    (components/cluster.py: the stack's seed, the CA, the operator's kubeconfig; providers/rented.py: a machine's
    address), made up.
    """
    cluster = {"name": "rehearsal", "cluster": {"server": "https://rehearsal.invalid:6443"}}
    context = {"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "rehearsal"}}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "rehearsal", "user": {"token": "rehearsal"}}],
        "contexts": [context],
        "current-context": "rehearsal",
    }
    texts = {"ca": "rehearsed certificate", "kubeconfig": json.dumps(kubeconfig)}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    return json.dumps({"seed": "00" * 32, "public_ip": "192.0.2.1", **encoded})
