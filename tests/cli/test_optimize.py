"""`edgekit optimize` from the shell: what it prints, writes, and ends with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.cli import optimize as command
from edgekit.optimize import run as run_module
from edgekit.optimize import search as search_module
from edgekit.quantize.plan import Plan
from edgekit.runtime import modelfile
from edgekit.validate.optimized import CRASHED, OK, Row
from tests import keras_models
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a search takes seconds."""
    monkeypatch.setattr(run_module, "SCHEMES", {"tflite": ("none", "float16")})
    monkeypatch.setattr(search_module, "RANGES", ("minmax",))


def test_optimize(run: Run, float_tflite: Path, many: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "best.tflite", tmp_path / "report.html"
    latencies = tmp_path / "earlier.json"
    latencies.write_text('{"latencies": {"float32": 2, "float16": 1}}')  # or this machine's would choose
    ran = run(
        "optimize", float_tflite, "--data", many, "-o", output, "--max-drop", 3, "--report", report,
        "--latencies", latencies,
    )
    assert ran.code == 0
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert lines[0] == "Pareto front of 2 candidates, on the selection part"
    assert " ".join(lines[2].split()) == "candidate top-1 drop in points agreement size ms within the budgets"
    assert any(line.split()[0] == "float16" and line.split()[-1] == "yes" for line in lines if line.split())
    assert "Sought: the best size within a drop of 3 points." in lines
    assert (
        "Ranges were calibrated on 120 images and candidates chosen by 168; the final figure is from 192 that nothing "
        "was tuned on."
    ) in lines
    assert [line for line in lines if line.startswith("- Tried none, float16: 2 candidates.")]
    assert [line for line in lines if line.startswith("PASS float16: The drop is 0.00 points on 192 images")]
    assert lines[-2].startswith(f"wrote {output}: float16, ")
    assert lines[-1] == f"wrote {report}"
    assert modelfile.read_spec(output) is not None
    assert "float16" in report.read_text()
    progress = ran.err.splitlines()
    assert progress[0] == "Reading the data …"
    assert [line.split(":")[0] for line in progress if " KB, " in line] == ["float32", "float16"]
    assert progress[-1] == "Judging float16 on the final part …"


def test_the_json_is_a_table_of_latencies(run: Run, float_tflite: Path, many: Path, tmp_path: Path) -> None:
    arguments = ("optimize", float_tflite, "--data", many, "--json", "-o")
    first = run(*arguments, tmp_path / "best.tflite")
    assert first.code == 0
    assert first.json["rows"][1]["plan"]["scheme"] == "float16"
    assert first.json["rows"][first.json["winner"]]["lost_because"] == ""
    assert first.json["final"]["judgement"]["outcome"] == "inconclusive"
    assert "evidence" not in first.json
    earlier = tmp_path / "earlier.json"
    earlier.write_text(first.out)
    again = run(*arguments, tmp_path / "again.tflite", "--latencies", earlier)
    assert again.json["latencies"] == first.json["latencies"]
    assert (tmp_path / "again.tflite").read_bytes() == (tmp_path / "best.tflite").read_bytes()


def test_when_no_candidate_is_within_the_budgets(run: Run, float_tflite: Path, many: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "best.tflite", tmp_path / "report.html"
    ran = run("optimize", float_tflite, "--data", many, "-o", output, "--max-size", "1KB", "--report", report)
    assert ran.code == 1
    assert not output.exists()
    lines = ran.out.splitlines()
    assert "No candidate is within the budgets; nothing was written. What came nearest:" in lines
    assert [line for line in lines if line.startswith("  float") and line.endswith("are above 1 KB")]
    assert report.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-drop", "101"], "101"),
        (["--objective", "beauty"], "'beauty' is not one of"),
        (["--for", "toaster"], "'toaster' is not one of"),
        (["--latencies", "missing.json"], "missing.json has no recorded latencies"),
        (["--allow-training", "missing"], "--allow-training needs a .keras file"),
        (["--report", "nowhere/report.html"], "nowhere"),
    ],
)
def test_bad_input(
    options: list[str], message: str, run: Run, float_tflite: Path, many: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("optimize", float_tflite, "--data", many, "-o", "best.tflite", *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_split(run: Run, float_tflite: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.repeat(keras_models.images(1, 3)[0], 100, axis=0))
    ran = run("optimize", float_tflite, "--data", tmp_path / "data.npz", "-o", tmp_path / "best.tflite")
    assert (ran.code, ran.out) == (2, "")
    assert "has 1 distinct image, and a search needs 10 or more" in ran.err


def test_the_live_table_shows_what_runs_and_escapes_what_it_quotes() -> None:
    from rich.console import Console

    table = command._LiveTable()
    plan = Plan("int8")
    for event in (
        {"stage": "Reading the data"},
        {"begun": "int8 minmax"},
        {"begun": "float16"},
        {"scored": Row(plan, "int8 minmax", OK, size_bytes=4_000_000, agreement=0.98, drop=0.5)},
        {"row": Row(plan, "int8 minmax", OK, size_bytes=4_000_000, agreement=0.98, drop=0.5, latency_ms=12)},
        {"row": Row(plan, "dynamic", CRASHED, "\x1b[31mlayer [bold]x")},
    ):
        table.take(event)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table.render())
    shown = captured.get()
    assert "4 MB, agreement 98.00 %, drop 0.50 points, 12 ms" in shown
    assert "crashed: \N{REPLACEMENT CHARACTER}[31mlayer [bold]x" in shown
    assert "Trying float16" in shown
