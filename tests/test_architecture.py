"""The arrows between the rooms, and which third-party packages a module may import, and where.

The source is parsed, not run: imports inside functions count as well as those at the top.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "edgekit").rglob("*.py"))

# Each group imports only from the groups before it; the rooms of one group do not import each other.
ORDER: list[set[str]] = [
    {"runtime"}, {"core"}, {"data"}, {"importers"}, {"train"}, {"quantize"}, {"convert"}, {"validate"}, {"report"},
    {"optimize"}, {"package"}, {"recipes", "device", "serve"}, {"cli"},
]
RANK = {room: rank for rank, group in enumerate(ORDER) for room in group}

# Import names that differ from the name of their distribution.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}
RUNTIME_AT_THE_TOP = {"numpy", "PIL"}
RUNTIME_ANYWHERE = RUNTIME_AT_THE_TOP | {"ai_edge_litert", "tflite_runtime", "onnxruntime"}
# What only a Raspberry Pi's program uses, inside of functions: cameras and videos, and a broker.
ON_A_PI = {"cv2", "paho", "picamera2"}
# No dependencies of edgekit: small computers have theirs by a bundle's requirements.txt or install.sh, and Django's
# projects have Django.
UNDECLARED = {"django", "tflite_runtime"} | ON_A_PI
# Modules that run only where Keras is already loaded, and define Keras layers.
KERAS_AT_THE_TOP: set[str] = set()


@dataclass(frozen=True)
class Import:
    """One import in a source file; `at_the_top` when it runs as soon as the file is imported."""

    module: str
    line: int
    at_the_top: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def imports_of(path: Path) -> list[Import]:
    return list(_imports(ast.parse(path.read_text(encoding="utf-8")), package_of(path), True))


def package_of(path: Path) -> list[str]:
    return list(path.relative_to(ROOT).parent.parts)


def _imports(node: ast.AST, package: list[str], at_the_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_the_top)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else []
            module = ".".join([*base, *([child.module] if child.module else [])])
            if module == "edgekit":  # from edgekit import core
                for alias in child.names:
                    yield Import(f"edgekit.{alias.name}", child.lineno, at_the_top)
            else:
                yield Import(module, child.lineno, at_the_top)
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            # What edgekit.core.child.call runs: "edgekit.convert.saved_model:export"
            if found := re.fullmatch(r"(edgekit\.[\w.]+):\w+", child.value):
                yield Import(found[1], child.lineno, False)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for statement in child.body:
                yield from _imports(ast.Module([statement], []), package, False)
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), package, at_the_top)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, package, at_the_top and not function)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT / "edgekit").parts
    return parts[0] if len(parts) > 1 else None


def third_party(path: Path) -> list[Import]:
    return [found for found in imports_of(path)
            if found.package != "edgekit" and found.package not in sys.stdlib_module_names]


def dependencies() -> tuple[set[str], set[str]]:
    """The names of the distributions that the core needs, and of those that the extras for users add."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}

    extras = {name for extra, requirements in project["optional-dependencies"].items() if extra not in ("all", "dev")
              for name in names(requirements)}
    return names(project["dependencies"]), extras


def distribution(package: str) -> str:
    return DISTRIBUTIONS.get(package, package.replace("_", "-"))


def test_every_module_is_in_a_room() -> None:
    rooms = {room_of(path) for path in MODULES} - {None}
    assert rooms <= set(RANK), "a room that the order does not know"
    assert [name(path) for path in MODULES if room_of(path) is None] == ["edgekit/__init__.py"]


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path)], ids=name)
def test_a_room_imports_only_from_those_before_it(path: Path) -> None:
    here = room_of(path)
    assert here is not None
    wrong = []
    for found in imports_of(path):
        if found.package != "edgekit":
            continue
        there = [*found.module.split("."), ""][1]
        if there == here or (there == "__version__" and here != "runtime"):
            continue
        if there not in RANK or RANK[there] >= RANK[here]:
            wrong.append(f"{name(path)}:{found.line}: {here} imports {found.module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) == "runtime"], ids=name)
def test_the_runtime_needs_only_what_a_device_has(path: Path) -> None:
    anywhere = RUNTIME_ANYWHERE | (ON_A_PI if path.parent.name == "pi" else set())
    wrong = [f"{name(path)}:{found.line}: {found.module}" for found in third_party(path)
             if found.package not in (RUNTIME_AT_THE_TOP if found.at_the_top else anywhere)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_what_the_core_installs_is_imported_at_the_top(path: Path) -> None:
    core, _ = dependencies()
    allowed = core | ({"keras", "tensorflow"} if name(path) in KERAS_AT_THE_TOP else set())
    wrong = [f"{name(path)}:{found.line}: {found.module} belongs inside a function" for found in third_party(path)
             if found.at_the_top and distribution(found.package) not in allowed]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_package_imported_is_declared(path: Path) -> None:
    core, extras = dependencies()
    wrong = [f"{name(path)}:{found.line}: {found.module} is in no dependency of pyproject.toml"
             for found in third_party(path)
             if found.package not in UNDECLARED and distribution(found.package) not in core | extras]
    assert not wrong, "\n".join(wrong)


def test_the_modules_that_may_load_keras_at_the_top_do() -> None:
    for module in KERAS_AT_THE_TOP:
        found = {found.package for found in third_party(ROOT / module) if found.at_the_top}
        assert found & {"keras", "tensorflow"}, f"{module} needs no exception"


def test_the_parser_sees_every_kind_of_import() -> None:
    source = """
from typing import TYPE_CHECKING
import numpy as np
from . import files
from .files import sha256
from ..runtime import spec
from edgekit import data
if TYPE_CHECKING:
    import keras
try:
    import onnx
except ImportError:
    pass
class Model:
    import rich
def convert():
    import tensorflow as tf
    call("edgekit.convert.run:convert")
"""
    found = {(found.module, found.at_the_top) for found in _imports(ast.parse(source), ["edgekit", "core"], True)}
    assert found == {
        ("typing", True), ("numpy", True), ("edgekit.core", True), ("edgekit.core.files", True),
        ("edgekit.runtime", True), ("edgekit.data", True), ("keras", False), ("onnx", True), ("rich", True),
        ("tensorflow", False), ("edgekit.convert.run", False),
    }
