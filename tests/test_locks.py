"""The locks hold what pyproject.toml asks for, agree with each other, and name no place to download from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"core": [], "all": ["keras", "onnx"], "dev": ["keras", "onnx", "dev"]}


def read(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def versions(lock: str) -> dict[str, str]:
    pins = re.findall(r"^([\w.-]+)==(\S+)", read(lock), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_satisfies_pyproject(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS[lock]:
        wanted += project["optional-dependencies"][extra]
    pinned = versions(lock)
    for requirement in map(Requirement, wanted):
        pin = pinned[canonicalize_name(requirement.name)]
        assert pin in requirement.specifier, f"{requirement}, but the lock has {pin}: make lock"


@pytest.mark.parametrize("lock", ["core", "all"])
def test_the_locks_agree(lock: str) -> None:
    assert versions(lock).items() <= versions("dev").items()


@pytest.mark.parametrize("lock", EXTRAS)
def test_every_pin_has_hashes_and_nothing_else(lock: str) -> None:
    text = re.sub(r"^\s*#.*$", "", read(lock), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        assert re.fullmatch(r"[\w.-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+\s*", line)
    assert "://" not in read(lock)
