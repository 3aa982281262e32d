"""The user data of a machine that tailspan makes: who may log in, and the host key by which the machine is known.

Nothing else is in it. The node script goes over SSH, so a change of it makes no new machine, and the metadata service,
which pods could ask, holds no token; what it does hold, the host key, pods cannot fetch (bootstrap/hostnetwork.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from providers.host_keys import HostKey


def user_data(
    user: str, authorized_keys: Sequence[str], key: HostKey, files: Mapping[str, str] | None = None
) -> str:
    """
    A #cloud-config document (https://cloudinit.readthedocs.io, modules ssh and users_groups): a secret, for the host
    key in it. Passwords are off, and no other host key exists beside the one that the operator compares. `files`, by
    path, are what the place's own software on the machine must be told before it starts.
    """
    keys = sorted(authorized_keys)
    if user == "root":
        # Without a list there would be the image's default user, who gets the keys, too.
        login: dict[str, object] = {"disable_root": False, "users": [], "ssh_authorized_keys": keys}
    else:
        who = {
            "name": user,
            "lock_passwd": True,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": keys,
        }
        login = {"disable_root": True, "users": [who]}
    document = {
        **login,
        **({"write_files": _files(files)} if files else {}),
        "ssh_pwauth": False,
        # Keys that the place itself hands to its machines.
        "allow_public_ssh_keys": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public},
    }
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=True)


def _files(files: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"path": path, "content": content, "permissions": "0644"} for path, content in files.items()]
