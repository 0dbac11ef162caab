"""Candidates in child processes: what becomes of those that crash, and of a search that is stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.convert.check import run_float
from edgekit.convert.float_core import source_spec
from edgekit.core import child
from edgekit.core.errors import ChildCrashed
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.optimize import bench as bench_module
from edgekit.optimize.bench import Bench
from edgekit.optimize.material import Material, make_core
from edgekit.quantize import calibration
from edgekit.quantize.plan import Plan
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.modelfile import read_spec
from edgekit.validate.optimized import CRASHED, OK
from tests import keras_models


@pytest.fixture(scope="module")
def prepared(float_tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("bench")
    pixels, colours = keras_models.images(60, 5)
    np.savez(folder / "data.npz", x=pixels[:30])
    spec = source_spec(float_tflite)
    chosen = calibration.choose(open_dataset(folder / "data.npz"), spec, 30, 0, BadImages())
    core = make_core("core", float_tflite, spec, "tflite", chosen, folder, False)
    np.save(folder / "calibration.npy", chosen.pixels)
    np.save(folder / "selection.npy", pixels[30:])
    reference = run_float(open_interpreter(core.path), pixels[30:], "NHWC")
    return Material(
        folder, core, chosen, folder / "calibration.npy", folder / "selection.npy", "uint8", "any", "optimize",
        reference, colours[30:],
    )


@pytest.fixture
def material(prepared: Material, tmp_path: Path) -> Material:
    """With a folder of its own, so that no candidate is there yet."""
    return dataclasses.replace(prepared, folder=tmp_path)


def test_rows_hold_what_was_measured(material: Material) -> None:
    events: list[dict[str, Any]] = []
    bench = Bench(material, {}, events.append)
    rows = bench.measure([Plan("none"), Plan("int8")])
    assert [row.name for row in rows] == ["float32", "int8 minmax"]
    assert all(row.status == OK and row.top1 == 1 and row.drop == 0 and row.agreement == 1 for row in rows)
    assert rows[0].mean_difference is not None
    assert rows[0].mean_difference < 1e-6 < (rows[1].mean_difference or 0)
    assert all(row.size_bytes == bench.path(row.plan).stat().st_size for row in rows)
    assert all(row.latency_ms is not None and 0 < row.latency_ms < 100 for row in rows)
    spec = read_spec(bench.path(rows[1].plan))
    assert spec is not None
    assert (spec.scheme, spec.provenance.steps[-1]) == ("int8", "optimize: int8 minmax")
    assert sorted(key for event in events for key in event) == ["begun"] * 2 + ["row"] * 2 + ["scored"] * 2 + ["stage"]


def test_a_crash_is_a_row_and_the_others_are_measured(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "MAKE", "tests.optimize.in_child:make_or_crash")
    rows = Bench(material, {}).measure([Plan("float16"), Plan("none"), Plan("dynamic")])
    assert [row.status for row in rows] == [CRASHED, OK, CRASHED]
    assert rows[0].reason == "Making it crashed the child process (SIGSEGV)."
    assert rows[2].reason.startswith("Making it needs more memory than it may use.")
    assert rows[0].size_bytes is rows[0].latency_ms is rows[0].agreement is None


def test_what_is_measured_is_not_measured_again(
    material: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("EDGEKIT_TEST_LOG", str(log))
    monkeypatch.setattr(bench_module, "MAKE", "tests.optimize.in_child:make_and_count")
    first = Bench(material, {}).measure([Plan("none")])
    bench = Bench(material, {})
    assert bench.measure([Plan("none"), Plan("float16")])[0] == first[0]
    assert log.read_text() == "none minmax\nfloat16 minmax\n"
    bench.path(Plan("none")).unlink()
    bench.path(Plan("float16")).with_suffix(".json").write_text("{")
    bench.measure([Plan("none"), Plan("float16")])
    assert sorted(log.read_text().split("\n")[2:]) == ["", "float16 minmax", "none minmax"]


def test_what_crashed_is_tried_again(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench_module, "MAKE", "tests.optimize.in_child:make_or_crash")
        assert Bench(material, {}).measure([Plan("float16")])[0].status == CRASHED
    assert Bench(material, {}).measure([Plan("float16")])[0].status == OK


def test_recorded_latencies_are_taken(material: Material) -> None:
    bench = Bench(material, {"float32": 12.5})
    rows = bench.measure([Plan("none"), Plan("float16")])
    assert rows[0].latency_ms == 12.5
    assert 0 < (rows[1].latency_ms or 0) < 12.5
    assert bench.unknown == ["float16"]


def test_layers_of_a_repaired_core_are_measured_once(material: Material) -> None:
    events: list[dict[str, Any]] = []
    bench = Bench(material, {}, events.append)
    found = bench.rank(Plan("int8", equalize=True, correct_bias=True))
    assert len(found) == 4
    assert sorted(event["layer"] for event in events if "layer" in event) == sorted(layer.layer for layer in found)
    events.clear()
    assert bench.rank(Plan("int8", equalize=True, correct_bias=True)) == found
    assert events == []


def test_an_interruption_ends_the_children(
    material: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "pid"
    monkeypatch.setenv("EDGEKIT_TEST_LOG", str(log))
    monkeypatch.setattr(bench_module, "MAKE", "tests.optimize.in_child:wait")
    _when_written(log, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        Bench(material, {}).measure([Plan("none"), Plan("float16"), Plan("dynamic")])
    assert not Path(f"/proc/{log.read_text()}").exists()
    assert list(tmp_path.glob("row-*")) == []


def test_a_stop_ends_calls_that_run_and_those_to_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "pid"
    monkeypatch.setenv("EDGEKIT_TEST_LOG", str(log))
    stop = child.Stop()
    _when_written(log, stop.stop)
    for _ in range(2):
        with pytest.raises(ChildCrashed, match="SIGKILL"):
            child.call("tests.optimize.in_child:wait", stopped_by=stop)
    assert not Path(f"/proc/{log.read_text()}").exists()


def _when_written(log: Path, act: Callable[[], None]) -> None:
    def wait() -> None:
        while not (log.exists() and log.read_text()):
            time.sleep(0.01)
        act()

    threading.Thread(target=wait).start()
