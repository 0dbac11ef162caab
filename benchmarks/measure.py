"""Figures with their targets, and how they are measured: in turns, since machines do not stay equally fast."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

# What the console script `edgekit` runs; it need not be installed for this.
EDGEKIT = (sys.executable, "-c", "from edgekit.cli.main import main; main()")
_PEAK = Path(__file__).with_name("peak.py")


@dataclass(frozen=True)
class Figure:
    """What was measured, and its target: an upper bound, or a lower one with `at_least`."""

    name: str
    target: float
    measured: float
    unit: str = ""
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is reached; by what was measured, not by its rounded form."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    @property
    def wanted(self) -> str:
        """The target, as it is printed."""
        return f"{'≥' if self.at_least else '≤'} {self.target:g}{self.unit}"

    @property
    def found(self) -> str:
        """What was measured, as it is printed."""
        return f"{self.measured:.3g}{self.unit}"


@dataclass(frozen=True)
class Run:
    """What a command took: wall seconds, and the peak resident memory in bytes of the largest of its processes."""

    seconds: float
    peak: int


def say(message: str) -> None:
    """Progress, on stderr."""
    print(message, file=sys.stderr, flush=True)


def run(*command: str | Path) -> Run:
    """Run a command and its child processes to their end.

    Raises:
        RuntimeError: it fails; the message ends with what it wrote on stderr.
    """
    done = subprocess.run([sys.executable, "-I", _PEAK, *command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if found["code"] != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {found['code']}:\n{done.stderr[-2000:]}")
    return Run(found["seconds"], found["peak"])


def in_turns(actions: Sequence[Callable[[], Result]], rounds: int) -> list[list[Result]]:
    """Do each of the actions once a round, every other round in the opposite order: the results of each action."""
    results: list[list[Result]] = [[] for _ in actions]
    for number in range(rounds):
        order = range(len(actions)) if number % 2 == 0 else range(len(actions) - 1, -1, -1)
        for index in order:
            results[index].append(actions[index]())
    return results


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes, in wall seconds."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
