"""A copy of what a template is built from, which tests may change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from android_demo.tools import application
from android_demo.tools.artifacts import BUILD, Group


@dataclass(frozen=True)
class Checkout:
    """A folder with `android_demo` and what else its tools read."""

    root: Path

    @property
    def template(self) -> Path:
        return self.root / "edgekit/package/android/template.zip"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of its tools, such as `template --check`."""
        module, *arguments = command
        return subprocess.run(
            [sys.executable, "-m", f"android_demo.tools.{module}", *arguments],
            cwd=self.root,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy without artifacts."""
    shutil.copytree(
        application.ROOT, tmp_path / "android_demo", ignore=shutil.ignore_patterns("build", "__pycache__", "test")
    )
    shutil.copy(application.ROOT.parent / "LICENSE", tmp_path)
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout: Checkout, build: Group) -> Checkout:
    """A copy with the artifacts of the build."""
    files = checkout.root / "android_demo/build/artifacts/build/files"
    files.mkdir(parents=True)
    for path in (BUILD / "artifacts/build/files").iterdir():
        os.symlink(path, files / path.name)
    return checkout
