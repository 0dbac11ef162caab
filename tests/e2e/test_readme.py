"""The shell session in the README works as printed: the same commands, the same lines but for the numbers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def sessions(text: str) -> list[list[tuple[str, list[str]]]]:
    """The console blocks of a page: for each command, the lines that it prints."""
    blocks = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        commands: list[tuple[str, list[str]]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif line.strip():
                commands[-1][1].append(line)
        blocks.append(commands)
    return blocks


def shape_of(line: str) -> str:
    """A line without its numbers, and without the widths that depend on them."""
    line = re.sub(r"[−-]?\d[\d,.]*(e-\d+)?", "N", line)
    line = re.sub(r"(KB|MB|bytes)", "SIZE", re.sub(r"─+", "─", line))
    return re.sub(r"\s+", " ", line).strip()


@pytest.mark.slow
def test_the_session_prints_what_the_readme_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("build"))
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    for command, expected in sessions((ROOT / "README.md").read_text("utf-8"))[0]:
        words = [sys.executable, "-m", "edgekit.cli.main", *command.split()[1:]]
        ran = subprocess.run(
            words,
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        printed = [shape_of(line) for line in ran.stdout.splitlines() if line.strip()]
        # Which classes gained or lost recall, and what comes second, may differ from machine to machine.
        loose = ("recall of", "models/digits/seven.png")
        assert [line for line in printed if not line.startswith(loose)] == [
            shape_of(line) for line in expected if not shape_of(line).startswith(loose)
        ]
    assert "models/digits/seven.png: 7 " in ran.stdout


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert re.findall(r"^    (make \w+)", text, re.MULTILINE)[:2] == ["make demo", "make test"]
