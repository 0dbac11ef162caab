"""Hostile and damaged files through the command line: a line or two, exit code 2 or 3, and nothing else happens."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from edgekit.cli.main import main
from edgekit.core import embed
from edgekit.core.anatomy import anatomy
from edgekit.core.errors import EdgekitError
from edgekit.runtime import modelfile
from tests import models
from tests.attacks import model_files as make
from tests.attacks.model_files import CONTROL

Maker = Callable[[Path], Path]


@dataclass(frozen=True)
class Said:
    """What a command line gave back."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """The lines on stderr but those of progress, as in "Converting bad.tflite …"."""
        return [line for line in self.err.splitlines() if not re.fullmatch(r"[A-Z][a-z]+ing( .*)? …", line)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a good model, photos, and outputs of an earlier day."""
    models.with_spec(models.tflite(tmp_path / "good.tflite"))
    (tmp_path / "photos").mkdir()
    Image.fromarray(models.colour(200, 20, 20)).save(tmp_path / "photos" / "red.png")
    Image.fromarray(models.colour(20, 20, 200)).save(tmp_path / "photos" / "blue.png")
    for ending in ("tflite", "onnx", "keras"):
        (tmp_path / f"out.{ending}").write_bytes(b"an older output")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edgekit(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: native code that writes past Python is seen, too."""

    def run(*arguments: str) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return run


def edgekit_process(*arguments: str | bytes, limit: int | None = None) -> Said:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "edgekit.cli.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, capture_output=True, env=environment, timeout=limit)
    return Said(result.returncode, result.stdout.decode(), result.stderr.decode())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_plain(text: str) -> bool:
    """Whether a terminal only shows it."""
    return all(character.isprintable() or character == "\n" for character in text)


def assert_refused(said: Said, codes: tuple[int, ...] = (2, 3)) -> None:
    assert said.code in codes, said
    assert 1 <= len(said.complaint) <= 2, said.err
    assert said.complaint[0].startswith("Error: ")
    assert "Traceback" not in said.err
    assert "edgekit itself failed" not in said.err
    assert said.out == ""
    assert is_plain(said.err)
    assert max(map(len, said.complaint)) < 700


OPTIONS = ["--labels", "red,green,blue", "--resize", "bilinear", "--crop", "none", "--mean", "0", "--std", "1"]
OPTIONS += ["--output-activation", "softmax", "--input-size", "8"]

COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "inspect": lambda bad, _: ["inspect", bad],
    "predict": lambda bad, _: ["predict", bad, "photos"],
    "convert": lambda bad, ending: ["convert", bad, "-o", f"out.{ending.replace('keras', 'tflite')}"],
    "import": lambda bad, ending: ["import", bad, "-o", f"out.{ending}", *OPTIONS],
    "validate": lambda bad, _: ["validate", "good.tflite", bad, "--data", "photos", "--stamp"],
}

# Name of the file, and how to make it. No command makes anything of any of these.
HOPELESS: dict[str, tuple[str, Maker]] = {
    "empty .tflite": ("bad.tflite", make.containing(b"")),
    "empty .keras": ("bad.keras", make.containing(b"")),
    "missing": ("bad.tflite", lambda path: path),
    "photo named .tflite": ("bad.tflite", make.containing(make.png(8, 8))),
    "text named .onnx": ("bad.onnx", make.containing(b"model\n")),
    "ZIP named .keras": ("bad.keras", make.zip_of_photos),
    "truncated .tflite": ("bad.tflite", make.truncated(models.tflite)),
    "truncated .onnx": ("bad.onnx", make.truncated(models.onnx)),
    "truncated .keras": ("bad.keras", make.truncated(models.keras)),
    "nothing but a magic number": ("bad.tflite", make.containing(b"\x1c\0\0\0TFL3")),
    "fails when run": ("bad.tflite", lambda path: models.with_spec(models.fails_when_run(path))),
    "huge input": ("bad.tflite", make.huge_tflite),
    "crowd of metadata": ("bad.tflite", make.crowded_tflite),
    "weights outside of the folder": ("bad.onnx", make.outside_onnx),
    "a billion weights": ("bad.onnx", make.hungry_onnx),
    "nested graphs": ("bad.onnx", make.nested_onnx),
    "ZIP bomb": ("bad.keras", make.bomb_keras),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", HOPELESS)
def test_a_hopeless_file(case: str, command: str, folder: Path, edgekit: Callable[..., Said]) -> None:
    name, maker = HOPELESS[case]
    maker(folder / name)
    before = contents(folder)
    said = edgekit(*COMMANDS[command](name, name.rpartition(".")[2]))
    assert_refused(said)
    assert name in said.complaint[0]
    assert contents(folder) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_in_the_place_of_a_file(command: str, folder: Path, edgekit: Callable[..., Said]) -> None:
    (folder / "bad.tflite").mkdir()
    before = contents(folder)
    assert_refused(edgekit(*COMMANDS[command]("bad.tflite", "tflite")))
    assert contents(folder) == before
    assert os.listdir(folder / "bad.tflite") == []


def test_a_file_of_another_name_is_what_its_content_says(folder: Path, edgekit: Callable[..., Said]) -> None:
    """A .tflite named .onnx works, but an import cannot make an .onnx of it."""
    (folder / "good.onnx").write_bytes((folder / "good.tflite").read_bytes())
    said = edgekit("inspect", "good.onnx")
    assert (said.code, said.out.splitlines()[0].partition(",")[0]) == (0, "good.onnx: tflite")
    assert edgekit("predict", "good.onnx", "photos/red.png").out.startswith("photos/red.png: red ")
    said = edgekit("import", "good.onnx", "-o", "out.onnx")
    assert_refused(said, (2,))
    assert said.complaint[0] == "Error: good.onnx is imported as a .tflite file, not out.onnx."
    assert (folder / "out.onnx").read_bytes() == b"an older output"


# --- what is inside of a spec


@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras"])
@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"edgekit":1,' + b'"a":{' * 50_000,
        b"1" * 100_000,
        b'"' + b" " * (33 << 20) + b'"',
        make.spec_of(edgekit=2),
        make.spec_of(edgekit=True),
        make.spec_of(surprise=1),
        make.spec_of(**{CONTROL: 1}),
        make.spec_of(input=[]),
        make.spec_of(input__height="8"),
        make.spec_of(input__height=10**400),
        make.spec_of(input__height=1e400),
        make.spec_of(input__height=-1),
        make.spec_of(input__width=100_000),
        make.spec_of(input__dtype=CONTROL),
        make.spec_of(input__layout={"NHWC": 1}),
        make.spec_of(labels=[["red"]]),
        make.spec_of(labels=["red", "\ud800"]),
        make.spec_of(labels=["red", ""]),
        make.spec_of(labels=["x" * 501] * 3),
        make.spec_of(labels=None),
        make.spec_of(preprocess__std=[0, 0, 0]),
        make.spec_of(preprocess__mean=[0.0] * 1000),
        make.spec_of(output__calibration={"temperature": -1.0}),
        make.spec_of(golden=[{"scores": "!", "input_sha256": "", "pattern": "noise"}]),
        make.spec_of(golden=[{"scores": "", "input_sha256": ""}] * 100),
        make.spec_of(verdict={}),
    ],
    ids=lambda document: repr(document[:1] + document[-12:])[2:-1],
)
def test_a_spec_that_is_no_spec(ending: str, document: bytes, folder: Path, edgekit: Callable[..., Said]) -> None:
    path = models.carrying(folder / f"bad.{ending}", document)
    before = path.read_bytes()
    said = edgekit("convert", path.name, "-o", "out.tflite")
    assert_refused(said, (2,))
    assert "spec" in said.complaint[0]
    assert path.read_bytes() == before
    assert (folder / "out.tflite").read_bytes() == b"an older output"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras"])
def test_every_command_reads_the_spec(ending: str, command: str, folder: Path, edgekit: Callable[..., Said]) -> None:
    path = models.carrying(folder / f"bad.{ending}", make.spec_of(input__height=-1))
    before = contents(folder)
    said = edgekit(*COMMANDS[command](path.name, ending))
    assert_refused(said, (2, 3))
    assert contents(folder) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"input__height": 16},
        {"input__layout": "NCHW"},
        {"input__dtype": "uint8", "input__quantization": {"scale": 1.0, "zero_point": 0}},
        {"labels": ["red", "green"]},
        {"labels": [f"label {number}" for number in range(100_000)]},
    ],
)
def test_a_spec_of_another_model(changes: dict[str, object], folder: Path, edgekit: Callable[..., Said]) -> None:
    models.carrying(folder / "bad.tflite", make.spec_of(**changes))
    said = edgekit("predict", "bad.tflite", "photos")
    assert_refused(said, (2,))
    assert "but its spec" in said.complaint[0]


# --- what reaches the terminal


def test_labels_told_with_control_characters_are_refused(folder: Path, edgekit: Callable[..., Said]) -> None:
    models.tflite(folder / "bare.tflite")
    (folder / "labels.txt").write_text("red\ngreen\x1b[31m\nblue\n")
    options = OPTIONS[2:]
    for labels in ("labels.txt", "red,green\x9b2J,blue", "red,\u202egreen,blue"):
        said = edgekit("import", "bare.tflite", "-o", "out.tflite", "--labels", labels, *options)
        assert_refused(said, (2,))
        assert "label 2 has control characters" in said.complaint[0]
    assert (folder / "out.tflite").read_bytes() == b"an older output"


def test_names_in_a_file_do_not_act_upon_the_terminal(folder: Path, edgekit: Callable[..., Said]) -> None:
    make.named_badly(folder / "bad.tflite")
    for arguments in (
        ["inspect", "bad.tflite"],
        ["predict", "bad.tflite", "photos"],
        ["validate", "bad.tflite", "bad.tflite", "--data", "photos"],
        ["convert", "bad.tflite", "-o", "out.tflite", "--quantize", "dynamic"],
        ["inspect", "out.tflite"],
    ):
        said = edgekit(*arguments)
        assert said.code == 0, said.err
        assert is_plain(said.out)
        assert is_plain(said.err)
    said = edgekit("validate", "good.tflite", "bad.tflite", "--data", "photos")
    assert_refused(said, (2,))


def test_json_holds_names_as_they_are_but_escaped(folder: Path, edgekit: Callable[..., Said]) -> None:
    make.named_badly(folder / "bad.tflite")
    said = edgekit("inspect", "bad.tflite", "--json")
    assert is_plain(said.out)
    assert json.loads(said.out)["spec"]["labels"] == [f"{label}{CONTROL}" for label in models.LABELS]
    said = edgekit("predict", "bad.tflite", "photos", "--json")
    assert is_plain(said.out)
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert answers[0]["predictions"][0]["label"] == f"blue{CONTROL}"


# Bytes that are no text, and text that acts upon a terminal.
NAMES = [os.fsdecode(b"\xff\xfe"), "\x1b[31m", "line\nbreak", "-dash", "[glob]*?", "ünïcödé", " "]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_files(name: str, folder: Path, edgekit: Callable[..., Said]) -> None:
    model, made, photo = f"./{name}.tflite", f"./{name}-made.tflite", f"./{name}.png"
    (folder / model).write_bytes((folder / "good.tflite").read_bytes())
    (folder / photo).write_bytes((folder / "photos" / "red.png").read_bytes())
    (folder / name).mkdir()
    (folder / name / photo).write_bytes((folder / "photos" / "blue.png").read_bytes())
    for arguments in (
        ["inspect", model],
        ["inspect", model, "--json"],
        ["predict", model, photo, name],
        ["predict", model, photo, f"./{name}", "--json"],
        ["convert", model, "-o", made],
        ["convert", model, "-o", made, "--json"],
        ["import", model, "-o", made],
        ["validate", model, made, "--data", f"./{name}", "--stamp"],
    ):
        said = edgekit(*(argument if argument != name else f"./{name}" for argument in arguments))
        assert said.code == 0, said.err
        assert is_plain(said.out)
        assert is_plain(said.err)
        assert name.isprintable() or name not in said.out + said.err
    assert_refused(edgekit("inspect", f"./{name}-missing.tflite"))
    assert_refused(edgekit("convert", model, "-o", f"./{name}-missing/x.tflite"))
    said = edgekit("predict", model, f"./{name}-missing.png")
    assert_refused(said)


# --- images


BOMBS: dict[str, bytes] = {
    "2.5 billion pixels": make.png(50_000, 50_000),
    "as large as PNG allows": make.png(2**31 - 1, 2**31 - 1),
    "no pixels": make.png(0, 0),
    "truncated": make.png(64, 64),
    "empty": b"",
    "text": b"not a photo",
    "a model": b"\x1c\0\0\0TFL3",
}


@pytest.mark.parametrize("case", BOMBS)
def test_an_image_that_is_none(case: str, folder: Path, edgekit: Callable[..., Said]) -> None:
    (folder / "photos" / "bad.png").write_bytes(BOMBS[case])
    for arguments in (
        ["predict", "good.tflite", "photos"],
        ["validate", "good.tflite", "good.tflite", "--data", "photos"],
        ["convert", "good.tflite", "-o", "out.tflite", "--quantize", "int8", "--calibrate", "photos"],
    ):
        said = edgekit(*arguments)
        assert said.code == 2
        assert len(said.complaint) == 2, said.err
        assert "bad.png" in said.complaint[0]
        assert "--max-bad" in said.complaint[1]
    assert (folder / "out.tflite").read_bytes() == b"an older output"
    said = edgekit("predict", "good.tflite", "photos", "--max-bad", "1")
    assert said.code == 0
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["photos/blue.png", "photos/red.png"]
    assert said.err.startswith("Warning: skipped photos/bad.png: ")
    assert said.err.count("\n") == 1


# --- bytes at random


def mutated(content: bytes, count: int) -> Iterator[bytes]:
    """`count` copies with one to sixteen bytes changed, or cut; the same ones every time."""
    choose = random.Random(0)
    for _ in range(count):
        damaged = bytearray(content)
        if choose.random() < 0.1:
            del damaged[choose.randrange(1, len(damaged)) :]
        for _ in range(choose.choice([1, 1, 2, 4, 16])):
            damaged[choose.randrange(len(damaged))] = choose.choice([0, 127, 128, 255, choose.randrange(256)])
        yield bytes(damaged)


MUTATED: dict[str, tuple[Maker, int]] = {
    "tflite": (lambda path: models.with_spec(models.tflite(path, zip_trailer=True)), 400),
    "tflite without a spec": (models.tflite, 400),
    "tflite, weights outside": (lambda path: models.tflite(path, weights_outside=True), 300),
    "onnx": (lambda path: models.with_spec(models.onnx(path)), 400),
    "keras": (lambda path: models.with_spec(models.keras(path)), 400),
}


@pytest.mark.parametrize("case", MUTATED)
def test_damaged_files_are_read_or_refused(case: str, tmp_path: Path) -> None:
    """What happens to a file in edgekit's own process: nothing but edgekit's own errors, and soon."""
    maker, count = MUTATED[case]
    good = maker(tmp_path / "good").read_bytes()
    steps: list[Callable[[Path], object]] = [modelfile.read_spec, modelfile.digest]
    if "tflite" in case:
        steps.append(anatomy)  # in this process; other kinds are read in a child
    refused = 0
    for number, damaged in enumerate(mutated(good, count)):
        (tmp_path / "bad").write_bytes(damaged)
        writes = [lambda path: embed.write_spec(path, models.spec(), tmp_path / "out")] if number % 4 == 0 else []
        for step in [*steps, *writes]:  # a write waits for the disk
            try:
                step(tmp_path / "bad")
            except EdgekitError:
                refused += 1
        assert (tmp_path / "bad").read_bytes() == damaged
    assert refused > count / 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good", "out"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect", "predict", "convert", "import"])
@pytest.mark.parametrize("case", ["tflite", "tflite without a spec", "onnx"])
def test_damaged_files_through_the_command_line(
    case: str, command: str, folder: Path, edgekit: Callable[..., Said]
) -> None:
    """What happens to them in interpreters, too: those that crash take a child process with them, not edgekit."""
    good = MUTATED[case][0](folder / "model").read_bytes()
    ending = "onnx" if case == "onnx" else "tflite"
    refused = 0
    for damaged in mutated(good, 25):
        (folder / f"bad.{ending}").write_bytes(damaged)
        before = contents(folder)
        said = edgekit(*COMMANDS[command](f"bad.{ending}", ending))
        assert is_plain(said.out)
        assert is_plain(said.err)
        if said.code:
            assert_refused(said)
            assert contents(folder) == before
            refused += 1
    assert refused


# --- as a user runs it


@pytest.mark.parametrize("case", ["truncated .tflite", "fails when run", "a billion weights", "ZIP bomb", "missing"])
def test_a_process_of_its_own(case: str, folder: Path) -> None:
    name, maker = HOPELESS[case]
    maker(folder / name)
    before = contents(folder)
    for command in ("inspect", "predict"):
        assert_refused(edgekit_process(*COMMANDS[command](name, name.rpartition(".")[2])))
    assert contents(folder) == before


def test_a_process_without_stderr(folder: Path) -> None:
    command = f"exec {sys.executable} -m edgekit.cli.main predict good.tflite photos 2>&-"
    result = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["blue", "red"]


def test_a_reader_that_goes_away(folder: Path) -> None:
    """As in `edgekit predict … | head -1`. With `set -o pipefail` a gate must not pass, nor say no, because of it."""
    command = [sys.executable, "-m", "edgekit.cli.main", "predict", "good.tflite", *["photos/red.png"] * 2000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("photos/red.png: red ")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
