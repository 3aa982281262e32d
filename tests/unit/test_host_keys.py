"""Host keys made from a seed: real keys, the same ones every time, one for each machine."""

from __future__ import annotations

import asyncssh
import yaml

from providers.cloud_init import user_data
from providers.host_keys import host_key

SEED = "5eed" * 16


def test_a_host_key_is_a_key_pair_that_ssh_reads() -> None:
    key = host_key(SEED, "hub-gw-1")
    read = asyncssh.import_private_key(key.private)
    assert read.export_public_key("openssh").decode().strip() == key.public


def test_the_same_machine_has_the_same_key_to_the_last_byte_and_no_other_has() -> None:
    key = host_key(SEED, "hub-gw-1")
    assert key == host_key(SEED, "hub-gw-1")
    others = (host_key(SEED, "hub-gw-2"), host_key(SEED, "hub-gw-1", 2), host_key("ab" * 32, "hub-gw-1"))
    assert len({key.public, *(other.public for other in others)}) == 4


def test_user_data_lets_in_the_listed_keys_and_nobody_else() -> None:
    key = host_key(SEED, "hub-gw-1")
    for user in ("root", "ubuntu"):
        text = user_data(user, ["ssh-ed25519 BBBB b", "ssh-ed25519 AAAA a"], key)
        assert text.startswith("#cloud-config\n")
        document = yaml.safe_load(text)
        login = document if user == "root" else document["users"][0]
        assert login["ssh_authorized_keys"] == ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]
        assert document["disable_root"] is (user != "root")
        assert document["ssh_pwauth"] is False
        assert asyncssh.import_private_key(document["ssh_keys"]["ed25519_private"])


def test_user_data_writes_the_files_of_the_place_and_none_where_there_are_none() -> None:
    key = host_key(SEED, "hub-gw-1")
    text = user_data("ubuntu", ["ssh-ed25519 AAAA a"], key, {"/etc/default/agent": "[a]\nb = false\n"})
    (file,) = yaml.safe_load(text)["write_files"]
    assert file == {"path": "/etc/default/agent", "content": "[a]\nb = false\n", "permissions": "0644"}
    assert "write_files" not in user_data("ubuntu", ["ssh-ed25519 AAAA a"], key)
