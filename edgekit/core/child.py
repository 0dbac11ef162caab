"""Run one function in a child process, within limits.

TensorFlow is slow to import, and converters can crash in ways that no `except` catches: neither may
reach the user. The parent sends one JSON request on the child's standard input and keeps that pipe open
(its end tells the child that the parent has died); the child answers in JSON lines on a pipe of its own,
so that whatever a library prints on stdout or stderr cannot be mistaken for an answer.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any

from edgekit.core import errors

Progress = Callable[[dict[str, Any]], None]

_answers: IO[str] | None = None


class Stop:
    """Ends calls that run in other threads, and those that begin later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def stop(self) -> None:
        """Kill the children; their calls raise ChildCrashed."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                process.kill()

    @contextmanager
    def _watching(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            self._running.add(process)
            if self.stopped:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(process)


def call(
    function: str,
    *,
    timeout: float | None = None,
    memory: int | None = None,
    on_progress: Progress | None = None,
    stopped_by: Stop | None = None,
    purpose: str = "The child process",
    pass_fds: Sequence[int] = (),
    **arguments: Any,
) -> Any:
    """Call `function` ("package.module:name") with JSON-able keyword arguments in a child process.

    Args:
        timeout: seconds until the child is killed.
        memory: bytes of address space that the child may use.
        on_progress: called in the parent with what the child gives to `report`.
        stopped_by: ends the call from another thread. Ctrl-C in a terminal does not reach such a child itself.
        purpose: begins the message when the child dies, as in "Converting x.keras".
        pass_fds: file descriptors that stay open in the child, under the same numbers.

    Returns:
        What the function returned, as JSON.

    Raises:
        EdgekitError: the one the function raised, of the same class.
        ConversionError: the function raised anything else; the message is its last line.
        ChildCrashed: the child died (a crash in native code).
        ChildLimit: the child exceeded `timeout` or `memory`.
    """
    read_end, write_end = os.pipe()
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-") as scratch,  # TensorFlow leaves files there
        tempfile.TemporaryFile() as log,
        os.fdopen(read_end, encoding="utf-8") as answers,
    ):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgekit.core.child", str(write_end)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[write_end, *pass_fds],
            env={**_environment(), "TMPDIR": scratch},
            process_group=None if stopped_by is None else 0,
        )
        os.close(write_end)
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(timeout, give_up) if timeout else None
        if timer:
            timer.daemon = True
            timer.start()
        watching = nullcontext() if stopped_by is None else stopped_by._watching(process)
        try:
            assert process.stdin is not None
            request = {"function": function, "arguments": arguments, "memory": memory}
            with watching:
                try:
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    process.stdin.flush()
                except BrokenPipeError:
                    pass  # it died at once: told below
                answer = _listen(answers, on_progress)
                if answer is not None:
                    _close(process)
                process.wait()
        finally:
            if timer:
                timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
            _close(process)
        if answer is None:
            if timed_out.is_set():
                raise errors.ChildLimit(f"{purpose} took longer than {timeout:g} s and was stopped.")
            raise errors.ChildCrashed(
                f"{purpose} crashed the child process ({_how(process.returncode)}).", _last_line(log)
            )
        if "result" in answer:
            return answer["result"]
        if answer.get("memory"):
            raise errors.ChildLimit(f"{purpose} needs more memory than it may use.", answer["message"])
        kind = errors.by_name(answer["error"]) if answer["error"] else errors.ConversionError
        error = kind.__new__(kind)
        errors.EdgekitError.__init__(
            error, answer["message"] if answer["error"] else f"{purpose} failed: {answer['message']}", answer["hint"]
        )
        error.add_note(answer["traceback"])
        raise error


def report(**progress: Any) -> None:
    """In a child: tell the parent how far the work has come, as JSON-able values. Elsewhere: nothing."""
    _answer({"progress": progress})


def _answer(message: dict[str, Any]) -> None:
    if _answers is not None:
        _answers.write(json.dumps(message) + "\n")
        _answers.flush()


def _listen(answers: IO[str], on_progress: Progress | None) -> dict[str, Any] | None:
    for line in answers:
        message: dict[str, Any] = json.loads(line)
        if "progress" not in message:
            return message
        if on_progress:
            on_progress(message["progress"])
    return None


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _environment() -> dict[str, str]:
    """TensorFlow quiet; and edgekit importable even from a checkout that is not installed."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return environment


def _how(returncode: int) -> str:
    if returncode < 0:
        import signal

        return signal.Signals(-returncode).name
    return f"exit code {returncode}"


def _last_line(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
    return _shown(log.read().decode(errors="replace").strip().splitlines()[-1:])


def _shown(lines: list[str]) -> str:
    """The first of a library's lines, which may quote the file that it reads."""
    from edgekit.runtime.spec import printable  # brings numpy, which most children need not wait for

    return printable(lines[0])[:300] if lines else ""


def _watch_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(70)


def _main() -> None:
    global _answers
    _answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_watch_parent, daemon=True).start()
    if request["memory"]:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    module, _, name = request["function"].partition(":")
    try:
        _answer({"result": getattr(importlib.import_module(module), name)(**request["arguments"])})
    except errors.EdgekitError as error:
        _answer(
            {
                "error": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "traceback": traceback.format_exc(),
            }
        )
    except BaseException as error:
        _answer(
            {
                "error": None,
                "memory": isinstance(error, MemoryError),
                "hint": "",
                "message": f"{type(error).__name__}: {_shown(str(error).strip().splitlines())}",
                "traceback": traceback.format_exc(),
            }
        )
    os._exit(0)  # not through the exit handlers of native libraries


if __name__ == "__main__":
    # One copy of this module, so that `report` finds the pipe.
    from edgekit.core import child

    child._main()
