"""What is left when a command is interrupted, killed, or has nowhere to write: the old output, and nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgekit.runtime import modelfile
from tests import models
from tests.attacks import keras_files

WAIT = 60.0  # seconds until a test gives up waiting for another process
OLD = b"an older output"

COMMANDS = {
    "train": ["train", "data.npz", "-o", "out.keras"],
    "convert Keras": ["convert", "model.keras", "-o", "out.tflite"],
    "convert to int8": ["convert", "model.tflite", "-o", "out.tflite", "--quantize", "int8", "--calibrate", "data.npz"],
    "import": ["import", "model.onnx", "-o", "out.onnx"],
    "optimize": ["optimize", "model.tflite", "-o", "out.tflite", "--data", "images.npz"],
}


@dataclass
class Running:
    """A command line in a session of its own, as in a terminal."""

    process: subprocess.Popen[str]
    folder: Path
    temporary: Path

    def children(self) -> list[int]:
        """The process ids of its child processes, whichever thread started them."""
        found: list[int] = []
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # that thread has just ended
                found += map(int, path.read_text().split())
        return found

    def wait_for_a_child(self) -> list[int]:
        """Wait until it has started a child process; gives its id."""
        found: list[int] = []

        def started() -> bool:
            found[:] = self.children()
            return bool(found) or self.process.poll() is not None

        wait_until(started, "a child process starts")
        assert found, self.process.communicate()
        return found

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; gives the exit status, stdout and stderr."""
        out, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a command line in a folder with models, data and older outputs."""
    folder, temporary = tmp_path / "work", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    started: list[Running] = []
    models.with_spec(models.tflite(folder / "model.tflite"))
    models.with_spec(models.onnx(folder / "model.onnx"))
    keras_files.write_keras(folder / "model.keras", keras_files.sequential(keras_files.dense()), keras_files.weights())
    models.with_spec(folder / "model.keras")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.integers(0, 256, (60, 8, 8, 3), np.uint8), y=np.arange(60) % 3)
    np.savez(folder / "images.npz", x=rng.integers(0, 256, (60, 8, 8, 3), np.uint8))
    for ending in ("tflite", "onnx", "keras"):
        (folder / f"out.{ending}").write_bytes(OLD)

    def run(*arguments: str, before: str = "") -> Running:
        """`before`: what a shell does before it becomes the command line."""
        command = [sys.executable, "-m", "edgekit.cli.main", *arguments]
        if before:
            command = ["sh", "-c", f'{before}; exec "$@"', "sh", *command]
        root = str(Path(__file__).parents[2])
        environment = {
            **os.environ,
            "PYTHONPATH": root,
            "TMPDIR": str(temporary),
            "EDGEKIT_CACHE": str(tmp_path / "cache"),
        }
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        started.append(Running(process, folder, temporary))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.communicate()


def wait_until(happens: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + WAIT
    while not happens():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_one_line(err: str, line: str) -> None:
    """Beside the lines of progress there is this one; and an empty line, after the ^C that a terminal shows."""
    assert [said for said in err.splitlines() if said and not said.endswith(" …")] == [line]


# --- Ctrl-C and kill


def ctrl_c(running: Running) -> None:
    os.killpg(running.process.pid, signal.SIGINT)


def interrupt(running: Running) -> None:
    running.process.send_signal(signal.SIGINT)


def terminate(running: Running) -> None:
    running.process.terminate()


@pytest.mark.parametrize("how", [ctrl_c, interrupt, terminate])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupted_command(command: str, how: Callable[[Running], None], start: Callable[..., Running]) -> None:
    running = start(*COMMANDS[command])
    before = contents(running.folder)
    children = running.wait_for_a_child()
    how(running)
    code, out, err = running.end()
    assert (code, out) == (130, "")
    assert_one_line(err, "Interrupted.")
    assert contents(running.folder) == before
    assert os.listdir(running.temporary) == []
    wait_until(lambda: all(map(ended, children)), "the children end")


@pytest.mark.parametrize("how", [ctrl_c, interrupt, terminate])
def test_an_interrupted_search(how: Callable[[Running], None], start: Callable[..., Running]) -> None:
    """While candidates are made, each by a child process of a child process."""
    running = start(*COMMANDS["optimize"], "--resume", "search")
    folder = running.folder / "search"
    wait_until(lambda: bool(list(folder.glob("row-*.json"))) or running.process.poll() is not None, "a row is measured")
    children = running.wait_for_a_child()
    how(running)
    code, out, err = running.end()
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "Interrupted."
    assert (running.folder / "out.tflite").read_bytes() == OLD
    assert os.listdir(running.temporary) == []
    assert list(folder.glob(".*")) == []
    wait_until(lambda: all(map(ended, children)), "the children end")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command(command: str, start: Callable[..., Running]) -> None:
    running = start(*COMMANDS[command])
    before = contents(running.folder)
    children = running.wait_for_a_child()
    running.process.kill()
    assert running.end()[0] == -signal.SIGKILL
    wait_until(lambda: all(map(ended, children)), "the children end")
    assert contents(running.folder) == before


def test_ctrl_c_while_a_keras_model_answers(start: Callable[..., Running]) -> None:
    running = start("validate", "model.keras", "model.tflite", "--data", "data.npz")
    children = running.wait_for_a_child()
    ctrl_c(running)
    code, out, err = running.end()
    assert (code, out) == (130, "")
    assert_one_line(err, "Interrupted.")
    wait_until(lambda: all(map(ended, children)), "the children end")


@pytest.mark.slow
@pytest.mark.parametrize("how", [ctrl_c, interrupt])
def test_ctrl_c_while_tensorflow_trains(how: Callable[[Running], None], start: Callable[..., Running]) -> None:
    running = start("train", "data.npz", "-o", "out.keras", "--epochs", "10000")
    before = contents(running.folder)
    [child] = running.wait_for_a_child()
    wait_until(lambda: "tensorflow" in Path(f"/proc/{child}/maps").read_text(), "TensorFlow is loaded")
    wait_until(lambda: len(os.listdir(f"/proc/{child}/task")) > 4, "TensorFlow has started its threads")
    how(running)
    code, out, err = running.end()
    assert (code, out) == (130, "")
    assert_one_line(err, "Interrupted.")
    assert contents(running.folder) == before
    assert os.listdir(running.temporary) == []
    wait_until(lambda: ended(child), "the child ends")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_at_any_moment(number: signal.Signals, start: Callable[..., Running]) -> None:
    """Whenever it comes, the output is the old one or a complete new one; and the next run tidies up."""
    choose = random.Random(0)
    folder = start("--version").folder
    for _ in range(15):
        (folder / "out.tflite").write_bytes(OLD)
        running = start(*COMMANDS["convert to int8"])
        running.wait_for_a_child()
        time.sleep(choose.uniform(0, 1.5))
        os.killpg(running.process.pid, number)
        code, _, err = running.end()
        assert "Traceback" not in err
        if (folder / "out.tflite").read_bytes() != OLD:
            assert modelfile.read_spec(folder / "out.tflite") is not None
        if number == signal.SIGINT:
            # −2: Python ends so when the signal came while it made a class, handled or not.
            assert code in (0, 130, -2)
            assert os.listdir(running.temporary) == []
            assert not list(folder.glob(".*"))
    assert start(*COMMANDS["convert to int8"]).end()[0] == 0
    assert not list(folder.glob(".*"))


# --- nowhere to write


@pytest.mark.parametrize(
    ("command", "place"),
    [*((command, place) for command in COMMANDS for place in ("missing", "model.tflite")), ("import", "/proc/self")],
)
def test_a_target_that_cannot_be_written(command: str, place: str, start: Callable[..., Running]) -> None:
    *rest, option, output = COMMANDS[command][:4]
    running = start(*rest, option, f"{place}/{output}", *COMMANDS[command][4:])
    code, out, err = running.end()
    assert (code, out) == (2, "")
    complaint = [line for line in err.splitlines() if not line.endswith(" …")]
    assert complaint[0].startswith("Error: ")
    assert place in complaint[0]
    assert len(complaint) <= 2


def test_a_target_that_is_a_folder(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "work" / "folder.tflite").mkdir()
    code, _, err = start("convert", "model.tflite", "-o", "folder.tflite").end()
    assert code == 2
    assert err.splitlines()[-2:] == ["Error: folder.tflite is a folder.", "Name a file to write with -o."]


@pytest.mark.parametrize("command", ["convert to int8", "import"])
def test_a_full_disk(command: str, start: Callable[..., Running]) -> None:
    """The part, which is named after the process, lies on a device that is always full."""
    output = COMMANDS[command][3]
    running = start(*COMMANDS[command], before=f"ln -s /dev/full .{output}.$$.part")
    before = contents(running.folder)
    code, out, err = running.end()
    assert (code, out) == (2, "")
    assert_one_line(err, f"Error: Cannot write {output}: No space left on device.")
    assert contents(running.folder) == before


@pytest.mark.parametrize("command", ["convert to int8", "import"])
def test_no_space_for_temporary_files(command: str, start: Callable[..., Running]) -> None:
    """No file may become larger than 1 KB, wherever it lies."""
    running = start(*COMMANDS[command], before="ulimit -f 1")
    before = contents(running.folder)
    code, out, err = running.end()
    assert code in (2, 3)
    assert out == ""
    complaint = [line for line in err.splitlines() if not line.endswith(" …")]
    assert complaint[0].startswith("Error: ")
    assert "File too large" in complaint[0]
    assert len(complaint) <= 2
    assert contents(running.folder) == before
    assert os.listdir(running.temporary) == []
