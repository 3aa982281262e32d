"""Local commands through the real engine: the whole life of one, and how one fails."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest
from pulumi_command import local

from lab.plugins.base import PluginError
from lab.plugins.command.local import LocalCommand
from tests.engine.bench import Bench, call

pytestmark = pytest.mark.engine
TOKEN = "a-token-nobody-may-see"


def test_a_command_lives_as_with_the_official_plugin(bench: Bench, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    inputs = {"word": "one", "trigger": "1"}

    def program() -> None:
        thing = local.Command(
            "thing",
            create=f"echo create $WORD >> {journal}; echo made $WORD; echo",
            update=f"echo update $WORD after $PULUMI_COMMAND_STDOUT >> {journal}; echo made $WORD",
            delete=f"echo delete $WORD >> {journal}",
            environment={"WORD": inputs["word"]},
            triggers=[inputs["trigger"]],
        )
        secret = local.Command("secret", create="cat", delete="true", stdin=pulumi.Output.secret(TOKEN))
        pulumi.export("made", thing.stdout)
        pulumi.export("secret", secret.stdout)

    texts = [bench.up(program)]
    assert journal.read_text().splitlines() == ["create one"]
    assert bench.outputs() == {"made": "made one\n", "secret": TOKEN}

    texts.append(bench.up(program))
    assert "no changes" in texts[-1]
    assert bench.run("refresh", program).ok
    inputs["word"] = "two"
    preview = bench.run("preview", program).text
    assert "~ update  command:Command thing" in preview
    assert 'environment.WORD: "one" => "two"' in preview
    assert journal.read_text().splitlines() == ["create one"]
    bench.up(program)
    inputs["trigger"] = "2"
    bench.up(program)
    assert bench.run("destroy", program).ok
    assert journal.read_text().splitlines() == [
        "create one", "update two after made one", "create two", "delete two", "delete two",
    ]  # fmt: skip
    assert TOKEN not in "".join(texts)


def test_a_secret_on_standard_input_is_in_no_state_and_no_message(bench: Bench) -> None:
    def program() -> None:
        local.Command("leaky", create="cat >&2; echo visible; exit 3", stdin=pulumi.Output.secret(TOKEN))
        local.Command("kept", create="cat", stdin=pulumi.Output.secret(TOKEN))

    text = bench.fails("up", program)
    assert TOKEN not in text
    assert "command:Command leaky: exit status 3" in text
    assert "[secret]" in text
    assert "visible" in text
    assert TOKEN not in bench.state()


def test_a_wrong_input_fails_the_preview_without_showing_its_value(bench: Bench) -> None:
    def program() -> None:
        local.Command("wrong", create="true", environment=pulumi.Output.secret(TOKEN))  # type: ignore[arg-type]

    text = bench.fails("preview", program)
    assert "environment got a string, wants an object" in text
    assert TOKEN not in text


def test_an_error_of_the_program_is_its_message_and_no_traceback(bench: Bench) -> None:
    def program() -> None:
        raise pulumi.RunError("Pulumi.dev.yaml: regions.0.name: got 7, write a name")

    text = bench.fails("preview", program)
    assert "error: Pulumi.dev.yaml: regions.0.name: got 7, write a name" in text
    assert "Traceback" not in text


def test_without_update_another_create_command_runs_again(tmp_path: Path) -> None:
    made = {"create": f"echo again >> {tmp_path}/journal"}
    LocalCommand().update(call(), "x", made, {"stdout": "before"})
    assert (tmp_path / "journal").read_text() == "again\n"


def test_a_command_gets_its_folder_its_interpreter_and_its_previous_output(tmp_path: Path) -> None:
    inputs = {"create": "import os; print(os.getcwd(), os.environ.get('PULUMI_COMMAND_STDERR'))"}
    inputs_here = {**inputs, "dir": str(tmp_path), "interpreter": ["python3", "-c"]}
    done = LocalCommand().update(call(), "x", inputs_here, {"stderr": "before"})
    assert done["stdout"] == f"{tmp_path} before"
    done = LocalCommand().update(
        call(), "x", {**inputs_here, "addPreviousOutputInEnv": False}, {"stderr": "before"}
    )
    assert done["stdout"] == f"{tmp_path} None"


def test_a_command_that_does_not_read_its_input_is_no_error() -> None:
    _, outputs = LocalCommand().create(call(), {"create": "exec <&-; echo fine", "stdin": "x" * 1_000_000})
    assert outputs["stdout"] == "fine"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"create": "echo why >&2; exit 7"}, 'exit status 7: running "echo why >&2; exit 7":\nwhy'),
        ({"create": "kill -9 $$"}, "killed by signal 9"),
        (
            {"create": "true", "dir": "/no/such/folder"},
            "cannot start /bin/sh in /no/such/folder: No such file",
        ),
        ({"create": "true", "interpreter": ["/no/such/shell"]}, "cannot start /no/such/shell"),
    ],
)
def test_a_failure_says_what_ran_and_how_it_ended(inputs: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        LocalCommand().create(call(), inputs)
    assert message in str(caught.value)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    from dataclasses import replace

    slow = {"create": f"(sleep 60; touch {tmp_path}/late) & sleep 60"}
    with pytest.raises(PluginError, match="not done after 1 s"):
        LocalCommand().create(replace(call(), timeout=1.0), slow)
    assert not (tmp_path / "late").exists()
