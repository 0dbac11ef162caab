"""What importing edgekit costs, and which names it exports."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgekit

PRINT_MODULES = "import sys; print(*sorted(sys.modules))"
PRINT_MODULES_AT_EXIT = """
import atexit, runpy, sys
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
sys.argv = ["edgekit", "--help"]
runpy.run_module("edgekit.cli.main", run_name="__main__")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """The modules that Python itself loads here, editable installs and the like included."""
    return set(run(PRINT_MODULES).stdout.split())


def third_party(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"edgekit"}


def test_help_loads_nothing_but_click(bare: set[str]) -> None:
    result = run(PRINT_MODULES_AT_EXIT)
    assert result.stdout.startswith("Usage: edgekit")
    assert third_party(set(result.stderr.split()) - bare) == {"click"}


def test_importing_edgekit_loads_no_room(bare: set[str]) -> None:
    loaded = set(run("import edgekit; " + PRINT_MODULES).stdout.split()) - bare
    assert {module for module in loaded if module.startswith("edgekit")} == {"edgekit"}
    assert third_party(loaded) == set()


def test_public_names() -> None:
    assert edgekit.__all__ == [
        "__version__", "convert", "import_model", "load", "optimize", "package_android", "train", "validate"
    ]
    for name in edgekit.__all__[1:]:
        assert callable(getattr(edgekit, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgekit.nothing


def test_a_room_does_not_hide_the_function_of_the_same_name() -> None:
    code = """
import edgekit.convert.run, edgekit.optimize.run, edgekit.train.fit, edgekit.validate.run
import edgekit
print(edgekit.convert.__name__, edgekit.optimize.__name__, edgekit.train.__name__, edgekit.validate.__name__)
print(edgekit.convert.__class__.__name__)
from edgekit.convert import run
print(run.__name__)
"""
    assert run(code).stdout.splitlines() == ["convert optimize train validate", "function", "edgekit.convert.run"]
