"""A whole search: what is written, what is refused, and that it goes on where it was and comes to the same end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ConversionError, DataError, EdgekitError, ImportRefused
from edgekit.data.dataset import Dataset
from edgekit.optimize import bench as bench_module
from edgekit.optimize import run as run_module
from edgekit.optimize import search as search_module
from edgekit.optimize.run import optimize, read_latencies
from edgekit.optimize.search import Search
from edgekit.optimize.split import Parts
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import Optimized
from tests import keras_models
from tests.keras_models import COLOURS

GATE = Gate(max_drop=3)  # which so few images can prove
SCHEMES = ("float16", "int8")
LATENCIES = {"float16": 1.0, "int8 minmax": 2.0}  # so that the way of the search does not depend on the machine
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def only(*schemes: str) -> Iterator[None]:
    """Fewer schemes, and int8 with one estimator, so that a search takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "SCHEMES", {"tflite": schemes})
        patch.setattr(search_module, "RANGES", ("minmax",))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("optimized")


@pytest.fixture(scope="module")
def found(float_tflite: Path, many: Path, folder: Path) -> Optimized:
    with only(*SCHEMES):
        return optimize(float_tflite, many, folder / "best.tflite", gate=GATE, keep=folder / "kept",
                        latencies=LATENCIES)


def test_the_winner_is_written_with_spec_verdict_and_golden_answers(found: Optimized, folder: Path) -> None:
    assert found.output == folder / "best.tflite"
    assert found.winner is not None
    winner = found.rows[found.winner]
    assert (winner.plan.scheme, winner.meets, winner.lost_because) == ("float16", True, "")  # of so few weights
    spec = modelfile.read_spec(found.output)
    assert spec is not None
    assert spec.provenance.steps[-1] == f"optimize --for android --io uint8: {winner.name}"
    assert spec.verdict_state(modelfile.digest(found.output)) == "pass"
    assert spec.verdict is not None
    assert spec.verdict.images == found.parts["final"]
    assert spec.golden
    assert Classifier(found.output).spec.input.dtype == "uint8"


def test_the_final_figure_is_of_images_that_nothing_was_tuned_on(found: Optimized) -> None:
    assert found.parts == {"calibration": 120, "selection": 168, "final": 192}
    assert found.final is not None
    assert found.final.judgement.outcome == "pass"
    assert found.final.parity.images == 192
    assert found.evidence is not None
    assert len(found.evidence.data) == 192


def test_all_candidates_are_kept_and_can_be_run(found: Optimized, folder: Path) -> None:
    assert [row.name for row in found.rows] == ["float16", "int8 minmax"]
    assert sorted(row.file or "" for row in found.rows) == sorted(path.name for path in (folder / "kept").iterdir())
    assert found.rows[1].file == "02-int8-minmax.tflite"
    for row in found.rows:
        path = folder / "kept" / str(row.file)
        assert (path.stat().st_size, Classifier(path).spec.scheme) == (row.size_bytes, row.plan.scheme)


def test_every_row_but_the_winner_says_why_it_lost(found: Optimized) -> None:
    assert all(bool(row.lost_because) != (index == found.winner) for index, row in enumerate(found.rows))
    assert found.winner in found.front
    assert found.latencies == {row.name: row.latency_ms for row in found.rows} == LATENCIES


def test_recorded_latencies_are_read(found: Optimized, tmp_path: Path) -> None:
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps({"rows": [], "latencies": found.latencies}))
    assert read_latencies(path) == found.latencies
    for content in ("", "{}", "[]", '{"latencies": {}}', '{"latencies": {"a": "x"}}', '{"latencies": {"a": -1}}'):
        path.write_text(content)
        with pytest.raises(DataError, match="latencies"):
            read_latencies(path)


SEARCH = """
import json, sys
from edgekit.optimize import run, search
from edgekit.validate.gate import Gate
run.SCHEMES, search.RANGES = {"tflite": ("float16", "int8")}, ("minmax",)
model, data, output, folder, latencies = sys.argv[1:]
run.optimize(model, data, output, gate=Gate(max_drop=3), resume=folder, latencies=json.loads(latencies),
             on_event=lambda event: print("row" in event and event["row"].name, flush=True))
"""


def test_a_killed_search_goes_on_and_comes_to_the_same_file(
    found: Optimized, float_tflite: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, resume = tmp_path / "best.tflite", tmp_path / "search"
    with subprocess.Popen(
        [sys.executable, "-c", SEARCH, float_tflite, many, output, resume, json.dumps(LATENCIES)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as process:
        give_up = time.monotonic() + 120
        while len(list(resume.glob("row-*.json"))) < 1:
            assert time.monotonic() < give_up
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    done = {path.name for path in resume.glob("row-*.json")}
    begun: list[str] = []
    with only(*SCHEMES):
        again = optimize(float_tflite, many, output, gate=GATE, resume=resume, latencies=LATENCIES,
                         on_event=lambda event: begun.append(event["begun"]) if "begun" in event else None)
    assert len(done) + len(begun) == len(found.rows)
    assert output.read_bytes() == (found.output or Path()).read_bytes()
    assert dataclasses.replace(again, output=None, final=None, rows=(), evidence=None) == dataclasses.replace(
        found, output=None, final=None, rows=(), evidence=None
    )
    assert not resume.exists()


def test_without_a_winner_nothing_is_written(float_tflite: Path, many: Path, tmp_path: Path) -> None:
    output, resume = tmp_path / "best.tflite", tmp_path / "search"
    output.write_bytes(b"old")
    with only("none"):
        found = optimize(float_tflite, many, output, gate=Gate(max_size_bytes=100), resume=resume)
        assert (found.output, found.winner, found.final) == (None, None, None)
        assert "are above 100 bytes" in found.rows[0].lost_because
        assert output.read_bytes() == b"old"
        events: list[dict[str, Any]] = []
        again = optimize(float_tflite, many, output, resume=resume, on_event=events.append)  # with another budget
    assert again.output == output
    assert not [event for event in events if "begun" in event]


def test_the_largest_size_is_that_of_the_written_file(float_tflite: Path, many: Path, tmp_path: Path) -> None:
    output = tmp_path / "best.tflite"
    with only("float16"):
        size = optimize(float_tflite, many, output, gate=GATE).rows[0].size_bytes or 0
        found = optimize(float_tflite, many, output, gate=Gate(3, max_size_bytes=size + 1000))
        assert found.winner is None
        assert "of golden answers are above" in found.rows[0].lost_because
        most = output.stat().st_size + 400
        assert optimize(float_tflite, many, output, gate=Gate(3, max_size_bytes=most)).succeeded
    assert output.stat().st_size <= most


def test_a_damaged_image_is_found_before_the_work(float_tflite: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    for path in sorted((tmp_path / "photos").rglob("*.png"))[::10]:
        path.write_bytes(path.read_bytes()[:60])
    events: list[dict[str, Any]] = []
    with only("none"):
        with pytest.raises(DataError, match="cannot be read"):
            optimize(float_tflite, tmp_path / "photos", tmp_path / "best.tflite", on_event=events.append)
        assert [event for event in events if "begun" in event] == []
        found = optimize(float_tflite, tmp_path / "photos", tmp_path / "best.tflite", max_bad=6)
    assert len(found.skipped) == 6
    assert sum(found.parts.values()) == 54


def test_where_no_candidate_can_be_made_nothing_is_judged(
    float_tflite: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "MAKE", "tests.optimize.in_child:make_or_crash")
    with only("float16"), pytest.raises(ConversionError, match=r"No candidate could be made\. float16: Making it"):
        optimize(float_tflite, many, tmp_path / "best.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_winner_that_fails_on_the_final_part_is_not_written(
    float_tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated and chosen on dark images, judged on bright ones."""
    pixels, colours = keras_models.images(240, 3)
    pixels[:120] //= 8
    np.savez(tmp_path / "data.npz", x=pixels, y=np.array(COLOURS)[colours])

    def by_brightness(data: Dataset, seed: int) -> Parts:
        return Parts(data.subset(range(60)), data.subset(range(60, 120)), data.subset(range(120, 240)), ())

    monkeypatch.setattr(run_module, "split", by_brightness)
    output = tmp_path / "best.tflite"
    with only("int8"):
        found = optimize(float_tflite, tmp_path / "data.npz", output, gate=Gate(max_drop=5))
    assert found.winner is not None
    assert found.final is not None
    assert found.final.judgement.outcome == "fail"
    assert found.output is None
    assert not found.succeeded
    assert not output.exists()


def test_without_labels_agreement_decides(float_tflite: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=keras_models.images(60, 3)[0])
    with only("none"):
        found = optimize(float_tflite, tmp_path / "data.npz", tmp_path / "best.tflite")
    assert not found.labelled
    assert (found.rows[0].top1, found.rows[0].drop, found.rows[0].agreement) == (None, None, 1.0)
    assert found.final is not None
    assert found.final.judgement.outcome == "inconclusive"
    assert found.output == tmp_path / "best.tflite"
    assert found.warnings == ("candidates are chosen by 21 images only, of which each counts for 4.8 points",)


def test_a_folder_of_another_search_is_refused(float_tflite: Path, many: Path, tmp_path: Path) -> None:
    resume = tmp_path / "search"
    arguments: dict[str, Any] = {"gate": Gate(max_size_bytes=100), "resume": resume}
    with only("none"):
        optimize(float_tflite, many, tmp_path / "best.tflite", **arguments)
        with pytest.raises(DataError, match="holds another run: its seed is 0, not 1"):
            optimize(float_tflite, many, tmp_path / "best.tflite", seed=1, **arguments)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(DataError, match="has files, and none of a search"):
        optimize(float_tflite, many, tmp_path / "best.tflite", resume=tmp_path / "photos")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "best.keras"}, "Cannot tell from best.keras what to write"),
        ({"output": "nowhere/best.tflite"}, "does not exist"),
        ({"objective": "beauty"}, "There is no objective 'beauty'"),
        ({"target": "toaster"}, "There is no target 'toaster'"),
        ({"output": "best.onnx", "target": "android"}, r"An app for Android runs \.tflite files"),
        ({"output": "best.onnx", "io": "int8"}, r"--io int8 needs a \.tflite output"),
        ({"keep": "."}, "exists and is no empty folder"),
        ({"keep": "something/kept"}, "something is no folder"),
        ({"data": "missing.npz"}, "There is no data set"),
    ],
)
def test_what_is_refused(
    changes: dict[str, str], message: str, float_tflite: Path, many: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    arguments: dict[str, Any] = {"data": many, "output": "best.tflite", **changes}
    with pytest.raises(EdgekitError, match=message):
        optimize(float_tflite, **arguments)
    assert os.listdir(tmp_path) == ["something"]


def test_a_quantized_source_and_foreign_labels_are_refused(
    int8_tflite: Path, float_tflite: Path, many: Path, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match="is quantized already"):
        optimize(int8_tflite, many, tmp_path / "best.tflite")
    np.savez(tmp_path / "data.npz", x=keras_models.images(60, 3)[0], y=np.array(["cat", "dog"] * 30))
    with pytest.raises(DataError, match="has the class 'cat'"):
        optimize(float_tflite, tmp_path / "data.npz", tmp_path / "best.tflite")


@pytest.mark.slow
def test_from_keras_to_both_formats(with_spec: Callable[[str], Path], many: Path, tmp_path: Path) -> None:
    for ending in ("tflite", "onnx"):
        found = optimize(with_spec("rescaled"), many, tmp_path / f"best.{ending}", gate=GATE)
        assert found.succeeded
        assert {row.plan.scheme for row in found.rows if row.status in ("failed", "crashed")} <= {"dynamic"}


@pytest.mark.slow
@pytest.mark.parametrize("step", ["repair", "select"])
def test_a_network_made_hard_is_mended_by_one_step_alone(
    step: str, hard_relu6: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Search, {"repair": "select", "select": "repair"}[step], lambda search: None)
    with only("int8"):
        found = optimize(hard_relu6, many, tmp_path / "best.tflite", gate=GATE)
    assert (found.rows[0].drop or 0) > 10
    assert found.winner is not None
    winner = found.rows[found.winner]
    assert winner.plan.equalize == (step == "repair")
    assert bool(winner.plan.keep_float) == (step == "select")
    assert found.final is not None
    assert (found.final.parity.drop or 0) < 1
    assert bool(found.sensitivity) == (step == "select")
