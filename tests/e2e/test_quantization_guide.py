"""The commands of docs/guides/quantization.md lead where the guide says: from 20 points lost to a file that passes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_readme import ROOT, sessions, shape_of

GUIDE = ROOT / "docs" / "guides" / "quantization.md"
UNKNOWN = ("…", "- ", "recall of ")  # left out, or what another machine's training and clock may change
TABLE = re.compile(r"(\bN\b.*){4}")


def shape(line: str) -> str:
    """A line without its numbers, and without the estimator of ranges, of which several are as good."""
    return shape_of(re.sub(r"int8 \w+, equalized(, bias corrected)?", "int8, equalized", line))


def told(command: str, expected: list[str]) -> list[str]:
    """The lines that must be printed, without their numbers: sentences, not the rows of tables."""
    lines = [line for line in map(shape, expected) if not line.startswith(UNKNOWN) and "─" not in line]
    if " optimize " in command:
        return [line for line in lines if line.startswith(("wrote", "Sought:"))]
    return [line for line in lines if line.startswith(("PASS", "FAIL")) or not TABLE.search(line)]


@pytest.mark.slow
def test_the_commands_lead_where_the_guide_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("build"))
    environment = {**os.environ, "COLUMNS": "110", "PYTHONPATH": str(ROOT)}
    every = [said for block in sessions(GUIDE.read_text("utf-8")) for said in block]
    assert len(every) >= 10
    for command, expected in every:
        program, *words = shlex.split(command)
        module = ["-m", "edgekit.cli.main"] if program == "edgekit" else []
        ran = subprocess.run([sys.executable, *module, *words], cwd=tmp_path, env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        refused = any(line.startswith("FAIL") or "not fit to calibrate" in line for line in expected)
        assert ran.returncode == int(refused), f"{command}\n{ran.stdout}"
        printed = [shape(line) for line in ran.stdout.splitlines()]
        for line in told(command, expected):
            assert line in printed, f"{command}\n{line}\n{ran.stdout}"


def test_the_guide_shows_a_loss_its_layer_and_two_ways_out() -> None:
    """What the guide promises, in the output that it shows."""
    shown = {command: "\n".join(lines) for block in sessions(GUIDE.read_text("utf-8")) for command, lines in block}
    drop = re.search(r"FAIL hard\.tflite: The drop is ([\d.]+) points", "".join(shown.values()))
    assert drop
    assert float(drop[1]) > 20
    [layers] = [text for command, text in shown.items() if command.endswith("--layers")]
    assert "The first bad layer is pointwise1 (Conv2D" in layers
    found = [text for command, text in shown.items() if command.startswith("edgekit optimize")]
    assert len(found) == 2
    assert all("\nPASS " in text and re.search(r"^wrote .*\.tflite", text, re.MULTILINE) for text in found)
    assert "equalized" in found[1]
