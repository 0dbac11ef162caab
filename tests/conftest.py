"""What every test shares: folders of its own, and a list of what this machine could not test."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import pytest

pytest_plugins = ["tests.session_models", "tests.packaging"]

_left_out: pytest.StashKey[Counter[tuple[str, str]]] = pytest.StashKey()
_private: pytest.StashKey[Path] = pytest.StashKey()


class Needs:
    """What a test needs that not every machine has.

    A missing part skips the test, and the summary lists it with how to get it. With EDGEKIT_REQUIRE_ALL=1,
    as in CI, a missing part fails the test instead: nothing is left out there unnoticed.
    """

    def __init__(self, left_out: Counter[tuple[str, str]]) -> None:
        self._left_out = left_out

    def module(self, name: str, how: str = "make setup") -> None:
        """The Python module `name` is installed."""
        if importlib.util.find_spec(name) is None:
            self.leave_out(f"the Python package {name} is not installed", how)

    def library(self, name: str, apt: str) -> None:
        """The shared library `name` (as in libEGL.so.1) loads; `apt` names the Debian packages that have it."""
        try:
            ctypes.CDLL(name)
        except OSError:
            self.leave_out(f"the library {name} is missing", f"apt-get install {apt}")

    def program(self, name: str, apt: str) -> None:
        """The program `name` is on the PATH; `apt` names the Debian packages that have it."""
        if shutil.which(name) is None:
            self.leave_out(f"the program {name} is missing", f"apt-get install {apt}")

    def leave_out(self, reason: str, how: str) -> NoReturn:
        """Leave this test out because of `reason`; `how` is the command that gets what is missing."""
        if os.environ.get("EDGEKIT_REQUIRE_ALL") == "1":
            pytest.fail(f"left out, but EDGEKIT_REQUIRE_ALL is set: {reason}; get it with: {how}", pytrace=False)
        self._left_out[reason, how] += 1
        pytest.skip(f"{reason}; get it with: {how}")


@pytest.fixture(scope="session")
def needs(pytestconfig: pytest.Config) -> Needs:
    """Ask for what not every machine has: `needs.library("libEGL.so.1", apt="libegl1")`."""
    return Needs(pytestconfig.stash[_left_out])


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_left_out] = Counter()
    folder = config.stash[_private] = Path(tempfile.mkdtemp(prefix="edgekit-tests-"))
    os.environ["EDGEKIT_CACHE"] = str(folder / "cache")
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")  # of edgekit there: the key that signs apps
    os.environ["KERAS_HOME"] = str(folder / "keras")  # the user's keras.json may change Keras' defaults
    os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")  # MediaPipe imports it
    # Where tests run in the background, Ctrl-C is ignored, and so it would be in the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_private], ignore_errors=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends home what it left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = list(session.config.stash[_left_out].items())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for key, tests in getattr(node, "workeroutput", {}).get("left_out", []):
        node.config.stash[_left_out][tuple(key)] += tests


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_left_out]:
        terminalreporter.section("Left out on this machine")
        for (reason, how), tests in config.stash[_left_out].items():
            terminalreporter.line(f"{tests} {'test' if tests == 1 else 'tests'}: {reason}; get it with: {how}")
