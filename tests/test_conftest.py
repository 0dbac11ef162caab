"""A machine that lacks something is told so; CI fails instead; the user's own folders stay untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os
from pathlib import Path

def test_module(needs):
    needs.module("no_such_module", how="make it")

def test_library(needs):
    needs.library("libnosuch.so.1", apt="libnosuch1")

def test_program(needs):
    needs.program("no-such-program", apt="nosuch")

def test_all_there(needs):
    needs.module("json")
    needs.library("libc.so.6", apt="libc6")
    needs.program("sh", apt="dash")

def test_private_folders():
    assert "mine" not in os.environ["EDGEKIT_CACHE"] + os.environ["KERAS_HOME"]
    Path(os.environ["EDGEKIT_CACHE"]).mkdir()
    Path("folder.txt").write_text(os.environ["EDGEKIT_CACHE"])
"""


def run(folder: Path, require_all: str, *options: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(TESTS)
    environment = {**os.environ, "EDGEKIT_REQUIRE_ALL": require_all, "EDGEKIT_CACHE": "mine", "KERAS_HOME": "mine",
                   "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run([sys.executable, "-m", "pytest", "--rootdir", folder, "-p", "no:cacheprovider", *options],
                          cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "options", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "two workers"]
)
def test_what_is_missing_is_listed_with_how_to_get_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = run(tmp_path, "", *options)
    assert result.returncode == 0
    assert "2 passed, 3 skipped" in result.stdout
    assert "1 test: the Python package no_such_module is not installed; get it with: make it" in result.stdout
    assert "1 test: the library libnosuch.so.1 is missing; get it with: apt-get install libnosuch1" in result.stdout
    assert "1 test: the program no-such-program is missing; get it with: apt-get install nosuch" in result.stdout


def test_nothing_is_left_out_where_all_is_required(tmp_path: Path) -> None:
    result = run(tmp_path, "1")
    assert result.returncode == 1
    assert "2 passed" in result.stdout
    assert "3 failed" in result.stdout


@pytest.mark.parametrize("require_all", ["", "1"])
def test_the_private_cache_is_removed(tmp_path: Path, require_all: str) -> None:
    run(tmp_path, require_all)
    assert not Path((tmp_path / "folder.txt").read_text()).exists()
