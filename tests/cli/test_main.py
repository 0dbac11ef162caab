"""Help, mistakes in typing, and what becomes of errors."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from edgekit.cli import main
from edgekit.cli.docs import commands, document
from tests.cli.conftest import Run

COMMANDS = ["build", "calibrate", "convert", "device", "device run", "doctor", "import", "inspect", "optimize",
            "package", "package android", "package pi", "predict", "serve", "train", "validate"]


def test_the_commands() -> None:
    assert [name for name, _ in commands()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(run: Run, command: str, flag: str) -> None:
    ran = run(*command.split(), flag)
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: edgekit {command} ")
    assert max(map(len, ran.out.splitlines())) <= 110
    for parameter in dict(commands())[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{command} {parameter.name}"
            assert parameter.opts[0] in ran.out


def test_version(run: Run) -> None:
    import edgekit

    assert run("--version").out == f"edgekit, version {edgekit.__version__}\n"


def test_docs_are_made_of_the_help(run: Run) -> None:
    text = document()
    for command in COMMANDS:
        assert f"## edgekit {command}\n" in text
    assert "--calibrate DATA" in text
    assert "/root" not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["inspect"], "Missing argument 'MODEL'"),
        (["inspect", "m.tflite", "--frob"], "No such option"),
        (["convert", "m.keras", "--quantize", "int3"], "'int3' is not one of"),
        (["convert", "m.keras", "--samples", "1"], "1 is not in the range"),
        (["convert", "m.keras", "--resize", "cubic"], "'cubic' is not one of"),
        (["train", "data"], "Missing option '-o'"),
        (["train", "data", "-o", "m.keras", "--epochs", "many"], "'many' is not a valid integer"),
        (["train", "data", "-o", "m.keras", "--seed", "-1"], "-1 is not in the range"),
        (["validate", "a", "b"], "Missing option '--data'"),
        (["validate", "a", "--data", "d"], "Missing argument 'CANDIDATES...'"),
        (["validate", "a", "b", "--data", "d", "--max-size", "big"], "'big' is not a size"),
        (["validate", "a", "b", "--data", "d", "--max-latency", "0"], "0.0 is not in the range"),
        (["predict", "m.tflite"], "Missing argument 'IMAGES...'"),
        (["predict", "m.tflite", "a.png", "--top", "0"], "0 is not in the range"),
    ],
)
def test_mistakes_in_typing(run: Run, arguments: list[str], message: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Usage: edgekit" in ran.err
    assert "Traceback" not in ran.err


def test_errors_are_two_lines_at_most(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", tmp_path / "nothing.tflite")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"Error: {tmp_path}/nothing.tflite does not exist.\n"
    ran = run("train", tmp_path / "nothing", "-o", tmp_path / "m.keras")
    assert ran.err.splitlines()[-2:] == [
        f"Error: There is no data set at {tmp_path}/nothing.",
        "Name a folder of images, a .csv or .jsonl manifest, or an .npz file.",
    ]


def test_names_cannot_act_upon_the_terminal(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", tmp_path / "\x1b[2Jsly\n.tflite")
    assert "\x1b" not in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_is_called_one(run: Run, monkeypatch: pytest.MonkeyPatch, debug: bool) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("wires crossed\nand more")

    monkeypatch.setattr(main.cli.commands["doctor"], "callback", broken)
    ran = run(*(["--debug"] if debug else []), "doctor")
    assert ran.code == 3
    assert "Error: edgekit itself failed: RuntimeError: wires crossed\n" in ran.err
    assert ("Traceback" in ran.err) == debug


def test_debug_shows_where_an_error_comes_from(run: Run, tmp_path: Path) -> None:
    ran = run("--debug", "inspect", tmp_path / "nothing.tflite")
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1] == f"Error: {tmp_path}/nothing.tflite does not exist."
