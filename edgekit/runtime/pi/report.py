"""The device report: what the self-test and the benchmark found, as `edgekit validate --device-report` reads it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.runtime import preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.modelfile import digest
from edgekit.runtime.pi import machine, selftest
from edgekit.runtime.pi.frames import Frame
from edgekit.runtime.pi.loop import Loop, Result
from edgekit.runtime.pi.pictures import CAMERA_SIZE
from edgekit.runtime.spec import encode_scores

ENGINES = {"litert": "LiteRT", "tflite-runtime": "TensorFlow Lite (tflite-runtime)", "onnxruntime": "ONNX Runtime"}
WARM_UP = 3  # runs
SECONDS = 5.0  # for each of the two measurements
FEWEST = 20  # runs, however long they take


def make(model: Path, name: str, version: str, *, benchmark: bool, seconds: float = SECONDS) -> dict[str, Any]:
    """Test the model on this machine, and measure it where that is asked for: the report as a JSON document.

    Args:
        model: the model file, with its spec.
        name, version: of the bundle.
        benchmark: measure times, heat and memory as well.
        seconds: how long each of the two measurements (the model alone, and the whole loop) takes.

    Raises:
        EdgekitError: the model cannot be loaded or run.
    """
    threads = machine.threads()
    begin = time.perf_counter()
    interpreter = open_interpreter(model, threads)
    classifier = Classifier(model, interpreter=interpreter)
    load_ms = (time.perf_counter() - begin) * 1e3
    engine = interpreter.engine
    before = machine.temperature()
    tested = selftest.run(classifier, engine)
    run: dict[str, Any] = {
        "delegate": engine.name, "threads": threads, "status": tested.status, "detail": tested.detail, "nodes": None,
        "load_ms": round(load_ms, 3), "inference_ms": None,
        "answers": [{"input_sha256": answer.input_sha256, "scores": encode_scores(answer.scores)}
                    for answer in tested.answers],
    }
    live = None
    if benchmark:
        run["inference_ms"] = _inference(classifier, seconds)
        live = _live(classifier, engine.name, seconds)
    accelerated = {True: " with XNNPACK", False: " without XNNPACK", None: ""}[engine.accelerated]
    sha256 = digest(model)
    return {
        "edgekit_device_report": 1,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "platform": "pi",
        "device": {"name": machine.name(), "system": machine.system(), "abi": platform.machine(), "soc": ""},
        "app": {"id": name, "version": version},
        "runtime": f"{ENGINES[engine.name]} {engine.version}{accelerated}",
        "model": {"name": name, "sha256": sha256, "scheme": classifier.spec.scheme},
        "verdict": classifier.spec.verdict_state(sha256),
        "camera": {"vectors": 0, "wrong": []},  # frames come as RGB here: the golden answers test all that follows
        "runs": [run],
        "chosen": None if tested.status == "wrong" else engine.name,
        "live": live,
        "sustained": None,
        "machine": {
            "temperature_before": before,
            "temperature_after": machine.temperature(),
            "throttled": machine.throttled(),
            "memory_mb": machine.memory_mb() or None,
        },
    }


def _inference(classifier: Classifier, seconds: float) -> dict[str, float]:
    """The model alone: percentiles of its milliseconds."""
    spec = classifier.spec
    tensor = classifier.prepare(preprocess.pattern("noise", spec.input.height, spec.input.width))[None]
    taken = _timed(lambda: classifier.scores(tensor), seconds)
    return {**percentiles(taken), "p99": round(float(np.percentile(taken, 99)), 3), "runs": len(taken)}


def _live(classifier: Classifier, delegate: str, seconds: float) -> dict[str, Any]:
    """The whole loop on frames of the camera's size, as fast as it goes."""
    width, height = CAMERA_SIZE
    pixels = preprocess.pattern("gradient", height, width)
    loop = Loop(classifier, [])
    results: list[Result] = []
    numbers: Iterator[int] = iter(range(1 << 62))
    taken = _timed(lambda: results.append(loop.classify(Frame("benchmark", next(numbers), 0.0, pixels))), seconds)
    results = results[-len(taken):]
    return {
        "delegate": delegate, "seconds": round(sum(taken) / 1e3, 3), "frames": len(taken), "dropped": 0,
        "fps": round(len(taken) / sum(taken) * 1e3, 2),
        "preprocess_ms": percentiles([each.preprocess_ms for each in results]),
        "inference_ms": percentiles([each.inference_ms for each in results]),
        "total_ms": percentiles(taken),
    }


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def _timed(action: Callable[[], object], seconds: float) -> list[float]:
    """The milliseconds of each run, after warming up; for so many seconds, and a few runs at least."""
    for _ in range(WARM_UP):
        action()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < FEWEST or time.perf_counter() < end:
        begin = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begin) * 1e3)
    return taken
