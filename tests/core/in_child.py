"""Functions that test_child.py calls in child processes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgekit.core import child, errors


def add(first: int, second: int) -> int:
    return first + second


def echo(value: Any) -> Any:
    return value


def print_noise(megabytes: int) -> str:
    """Write to stdout and stderr, from Python and past it."""
    print('{"result": "forged"}', flush=True)
    print("noise", file=sys.stderr, flush=True)
    for descriptor in (1, 2):
        for _ in range(megabytes):
            os.write(descriptor, b"x" * (1 << 20))
    return "done"


def count(to: int) -> int:
    for number in range(to):
        child.report(done=number)
    return to


def raise_edgekit(name: str) -> None:
    kind = errors.by_name(name)
    if kind is errors.MissingExtraError:
        raise errors.MissingExtraError("Testing", "onnx", "onnx")
    raise kind(f"message of {name}", "a hint")


def raise_value(text: str) -> None:
    raise ValueError(text)


def interrupt() -> None:
    raise KeyboardInterrupt


def give_object() -> object:
    return object()


def crash(number: int) -> None:
    print("last words\x1b[31m", file=sys.stderr, flush=True)
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code: int) -> None:
    os._exit(code)


def allocate(size: int) -> int:
    return len(bytearray(size))


def sleep(started: str) -> None:
    """Write the process id into the file `started`, and sleep."""
    Path(f"{started}.part").write_text(str(os.getpid()))
    os.rename(f"{started}.part", started)
    time.sleep(600)


def make_temporary_file() -> str:
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    return path


def read(descriptor: int) -> str:
    return os.read(descriptor, 100).decode()
