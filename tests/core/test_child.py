"""Whatever a child process does, its parent gets an answer or an error of edgekit's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.core import child, errors
from edgekit.core.errors import ChildCrashed, ChildLimit, ConversionError, EdgekitError

ROOT = Path(__file__).resolve().parents[2]

WAIT = 30.0  # seconds until a test gives up waiting for another process


def call(function: str, /, **arguments: Any) -> Any:
    return child.call(f"tests.core.in_child:{function}", **arguments)


def wait_until(happens: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + WAIT
    while not happens():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended; in a container nobody may ask a zombie for its exit status


def test_gives_what_the_function_returns() -> None:
    assert call("add", first=2, second=3) == 5


@pytest.mark.parametrize("value", [None, "grün \x1b\n\u2028\udcff", [1, [2.5, {"a": None}]], "x" * 3_000_000])
def test_values_go_there_and_back(value: Any) -> None:
    assert call("echo", value=value) == value


def test_prints_disturb_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("print_noise", megabytes=2) == "done"
    assert capfd.readouterr() == ("", "")


def test_progress_comes_in_order() -> None:
    seen: list[dict[str, Any]] = []
    assert call("count", to=100, on_progress=seen.append) == 100
    assert seen == [{"done": number} for number in range(100)]


def test_progress_may_be_ignored_and_reported_without_a_parent() -> None:
    assert call("count", to=3) == 3
    child.report(done=1)


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"by_name", "MissingExtraError"}))
def test_errors_keep_their_class(name: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        call("raise_edgekit", name=name)
    assert type(caught.value) is getattr(errors, name)
    assert (caught.value.message, caught.value.hint) == (f"message of {name}", "a hint")
    assert "in raise_edgekit" in caught.value.__notes__[0]  # where it happened, for --debug


def test_an_error_with_a_constructor_of_its_own() -> None:
    original = errors.MissingExtraError("Testing", "onnx", "onnx")
    with pytest.raises(errors.MissingExtraError) as caught:
        call("raise_edgekit", name="MissingExtraError")
    assert str(caught.value) == str(original)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("raise_value", {"text": "first line\nsecond line"}, "Testing failed: ValueError: first line"),
        ("raise_value", {"text": ""}, "Testing failed: ValueError: "),
        ("interrupt", {}, "Testing failed: KeyboardInterrupt: "),
        ("missing", {}, "Testing failed: AttributeError: "),
        ("add", {"first": 1}, "Testing failed: TypeError: "),
        ("give_object", {}, "Testing failed: TypeError: "),
    ],
)
def test_any_other_exception_is_a_failed_conversion(function: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        call(function, purpose="Testing", **arguments)
    assert type(caught.value) is ConversionError
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith(message)
    assert "second line" not in caught.value.message


def test_text_of_an_exception_is_shown_without_control_characters() -> None:
    with pytest.raises(ConversionError) as caught:
        call("raise_value", text="layer \x1b[31m\x9b")
    assert caught.value.message == "The child process failed: ValueError: layer \ufffd[31m\ufffd"


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ConversionError, match="ModuleNotFoundError: No module named 'nowhere'"):
        child.call("nowhere:function")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGBUS])
def test_a_crash_is_an_error(number: signal.Signals) -> None:
    with pytest.raises(ChildCrashed) as caught:
        call("crash", number=int(number), purpose="Testing")
    assert caught.value.message == f"Testing crashed the child process ({number.name})."
    assert caught.value.hint == "last words\ufffd[31m"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("code", [0, 7])
def test_an_end_without_an_answer_is_a_crash(code: int) -> None:
    with pytest.raises(ChildCrashed, match=f"exit code {code}"):
        call("leave", code=code)


def test_a_child_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(ChildLimit, match=r"Testing took longer than 2 s and was stopped\."):
        call("sleep", timeout=2, purpose="Testing", started=str(started))
    assert not alive(int(started.read_text()))


def test_a_child_that_needs_too_much_memory() -> None:
    with pytest.raises(ChildLimit, match=r"Testing needs more memory than it may use\."):
        call("allocate", memory=1 << 30, purpose="Testing", size=2 << 30)
    assert call("allocate", memory=1 << 30, size=1 << 20) == 1 << 20


def test_temporary_files_of_the_child_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Path(call("make_temporary_file")).parent.parent == tmp_path
    with pytest.raises(ChildCrashed):
        call("crash", number=int(signal.SIGKILL))
    assert os.listdir(tmp_path) == []


def test_a_file_descriptor_can_be_handed_over() -> None:
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"hello")
        assert call("read", pass_fds=[ours], descriptor=ours) == "hello"
    finally:
        os.close(ours)
        os.close(theirs)


def test_calls_from_several_threads() -> None:
    found: dict[int, int] = {}

    def work(number: int) -> None:
        found[number] = call("add", first=number, second=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number + 1 for number in range(4)}


def test_nothing_stays_open_or_running() -> None:
    call("add", first=1, second=1)
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    call("add", first=1, second=1)
    with pytest.raises(ChildCrashed):
        call("leave", code=1)
    with pytest.raises(ConversionError):
        call("raise_value", timeout=60, text="")
    wait_until(lambda: (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before, "all closed")


@pytest.fixture
def parent(tmp_path: Path) -> Any:
    """A parent process that waits for its child; gives both process ids."""
    started = tmp_path / "started"
    code = "from edgekit.core import child\nchild.call('tests.core.in_child:sleep', started=sys.argv[1])"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {code}"  # nohup would have it ignored
    process = subprocess.Popen([sys.executable, "-c", code, str(started)], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(started.exists, "the child starts")
        yield process, int(started.read_text())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_child_does_not_outlive_its_parent(
    parent: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, pid = parent
    assert alive(pid)
    process.send_signal(number)
    process.wait(WAIT)
    wait_until(lambda: not alive(pid), "the child ends")


def test_modules_in_the_working_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    assert "edgekit" in child.call("edgekit.core.versions:of")
