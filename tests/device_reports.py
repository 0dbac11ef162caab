"""Makes device reports as the demo app writes them: a small model's own answers, and figures that are made up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import embed, golden
from edgekit.runtime import images, modelfile, preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.selfcheck import Answer
from edgekit.runtime.spec import ModelSpec, encode_scores
from tests import models

RED, GREEN, BLUE = models.colour(250, 0, 0), models.colour(0, 250, 0), models.colour(0, 0, 250)


def model(path: Path, *, clear: bool = True, weights_scale: float = 1, **changes: Any) -> Path:
    """Write a `.tflite` model with golden answers: patterns, and colours where they shall be `clear`.

    The larger the weights, the clearer are its answers; `changes` are those of its spec (`models.spec`).
    """
    weights = np.asarray(models.WEIGHTS * weights_scale, np.float32)
    models.with_spec(models.tflite(path, dtype="uint8", weights=weights), models.spec("uint8", **changes))
    classifier = Classifier(path)
    answers = golden.make(classifier, [RED, GREEN, BLUE] if clear else [])
    embed.write_spec(path, models.spec("uint8", golden=answers, **changes), path)
    return path


def answers(path: Path) -> list[Answer]:
    """What the model answers to its golden images."""
    classifier, found = Classifier(path), []
    for one in classifier.spec.golden:
        pattern, size = one.pattern, classifier.spec.size
        image = preprocess.pattern(pattern, *size) if pattern else images.decode(one.image_bytes())
        tensor = classifier.prepare(image)
        found.append(Answer(hashlib.sha256(tensor.tobytes()).hexdigest(), classifier.scores(tensor[None])[0]))
    return found


def off_by(answers: list[Answer], difference: float) -> list[Answer]:
    """The same answers with this much added to every first score."""
    step = np.eye(1, len(answers[0].scores), dtype=np.float32)[0] * np.float32(difference)
    return [Answer(answer.input_sha256, answer.scores + step) for answer in answers]


def run(delegate: str, given: list[Answer], status: str = "ok", **changes: Any) -> dict[str, Any]:
    """One entry of `runs`."""
    return {
        "delegate": delegate, "threads": 4, "status": status, "detail": "",
        "nodes": {"delegated": 4, "total": 5}, "load_ms": 3.5, "inference_ms": {"p50": 1.25, "p95": 2, "runs": 50},
        "answers": [{"input_sha256": one.input_sha256, "scores": encode_scores(one.scores)} for one in given],
    } | changes


def unavailable(delegate: str, status: str = "unavailable", detail: str = "There is none.") -> dict[str, Any]:
    """The entry of a delegate that gave no answers."""
    return run(delegate, [], status, detail=detail, nodes=None, load_ms=None, inference_ms=None)


def report(path: Path, *runs: dict[str, Any], chosen: str | None = "cpu", **changes: Any) -> dict[str, Any]:
    """A report about the model at `path`; without `runs`, one in which only the CPU is there, and right."""
    spec = modelfile.read_spec(path)
    assert isinstance(spec, ModelSpec)
    return {
        "edgekit_device_report": 1, "created": "2026-11-26T12:00:00Z", "platform": "android",
        "device": {"name": "Stand-in 1", "system": "Android 15 (API 35)", "abi": "arm64-v8a", "soc": ""},
        "app": {"id": "ai.edgekit.demo", "version": "1.0"}, "runtime": "TensorFlow Lite 2.16.1",
        "model": {"name": path.name, "sha256": modelfile.digest(path), "scheme": spec.scheme},
        "verdict": "pass", "camera": {"vectors": 8, "wrong": []},
        "runs": list(runs) or [run("cpu", answers(path)), unavailable("gpu"), unavailable("nnapi")],
        "chosen": chosen, "live": None, "sustained": None,
    } | changes


def live() -> dict[str, Any]:
    """Timing of the camera screen."""
    spread = {"p50": 4.5, "p95": 6.25}
    return {"delegate": "cpu", "seconds": 30.5, "frames": 900, "dropped": 12, "fps": 29.5, "preprocess_ms": spread,
            "inference_ms": spread, "total_ms": {"p50": 9, "p95": 12.5}}


def sustained() -> dict[str, Any]:
    """Ten minutes that end hotter and slower."""
    return {"delegate": "cpu", "seconds": 600, "samples": [
        {"second": 10, "fps": 29.75, "inference_ms": 12.5, "thermal": "none"},
        {"second": 300, "fps": 25, "inference_ms": 14.5, "thermal": "severe"},
        {"second": 600, "fps": 21.25, "inference_ms": 17, "thermal": "moderate"},
    ]}


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write a report as a file; gives the path."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
