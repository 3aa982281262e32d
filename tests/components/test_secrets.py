"""Secrets stay secrets: in no plain input, in no output but encrypted ones, in no command line."""

from __future__ import annotations

import re

from components.nodes import bootstrap_token
from config.schema import StackConfig
from network.plan import plan_network
from tests.components.deploy import ADMIN_TOKEN, API_KEY, SEED, auth_key, deployed
from tests.components.recording import Recording, texts
from tests.components.stacks import dev, every_stack, with_west


def secrets_of(config: StackConfig) -> set[str]:
    """Every secret value that is about in a run."""
    nodes = [node for region in plan_network(config).regions for node in region.nodes]
    tokens = {bootstrap_token(SEED, node) for node in nodes if node.role != "control-plane"}
    keys = {auth_key(node.name) for node in nodes if node.role == "gateway"}
    return {API_KEY, SEED, ADMIN_TOKEN} | tokens | keys


def state(recording: Recording, *, secrets: bool) -> str:
    """All that a run leaves in the state: in plain text, or encrypted."""
    inputs = [texts(item.inputs, secrets=secrets) for item in recording.resources.values()]
    outputs = [texts(item, secrets=secrets) for item in recording.outputs.values()]
    return "\n".join(text for group in (*inputs, *outputs) for text in group)


@every_stack
def test_no_secret_is_in_plain_state(config: StackConfig) -> None:
    plain = state(deployed(config), secrets=False)
    assert {value for value in secrets_of(config) if value in plain} == set()


@every_stack
def test_the_search_finds_every_secret_where_it_belongs(config: StackConfig) -> None:
    # The control of the test above: a search for values that nothing uses would always pass.
    encrypted = state(deployed(config), secrets=True).replace('\\"', '"')
    # The seed itself goes nowhere: only tokens made of it do.
    assert {value for value in secrets_of(config) if value not in encrypted} == {SEED}


@every_stack
def test_what_machines_and_the_operator_run_reads_secrets_from_standard_input(config: StackConfig) -> None:
    recording = deployed(config)
    commands = recording.of(":Command")
    for name, command in commands.items():
        assert "environment" not in command.inputs
        assert command.inputs["addPreviousOutputInEnv"] is False
        if name == "secret-seed":
            assert "stdin" not in command.inputs
            assert command.inputs["logging"] == "none"
        else:
            assert command.secret("stdin")
            # Standard output is a result, and the control plane's holds the operator's credential.
            assert command.inputs["logging"] == "stderr"


def test_results_that_hold_credentials_are_encrypted() -> None:
    recording = deployed(dev())
    for name in ("secret-seed", *(name for name in recording.of("remote:Command"))):
        assert "stdout" in recording[name].request.additionalSecretOutputs
    for key in recording.of("TailnetKey").values():
        assert "key" in key.request.additionalSecretOutputs


def test_a_preview_marks_the_same_inputs_as_secret() -> None:
    # Unknown values show nothing yet; those that are known must be marked already.
    preview = deployed(with_west(), preview=True)
    assert {value for value in secrets_of(with_west()) if value in state(preview, secrets=False)} == set()
    assert API_KEY in state(preview, secrets=True)


def test_of_the_stacks_outputs_the_kubeconfig_alone_is_secret() -> None:
    outputs = deployed(dev()).outputs["tailspan-dev"]
    assert {name for name in outputs if list(texts(outputs[name], secrets=True))} == {"kubeconfig"}


def test_a_token_serves_one_machine_in_one_generation() -> None:
    older = dev()
    newer = dev(("regions.1.machines.0.generation", 2))
    nodes = [
        node for config in (older, newer) for region in plan_network(config).regions for node in region.nodes
    ]
    tokens = {(node.name, node.generation): bootstrap_token(SEED, node) for node in nodes}
    assert len(set(tokens.values())) == len(tokens) == 7
    for token in tokens.values():
        assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token)
    assert bootstrap_token("ab" * 32, nodes[0]) not in tokens.values()
