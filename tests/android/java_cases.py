"""What the app's Java tests compare themselves with, written by the Python that the Java classes are twins of."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.package import camera_vectors
from edgekit.runtime import modelfile
from edgekit.runtime.classify import to_scores
from edgekit.runtime.errors import EdgekitError
from edgekit.runtime.spec import (
    KERNELS,
    Crop,
    InputSpec,
    ModelSpec,
    OutputSpec,
    Preprocess,
    Quantization,
    ScoreCalibration,
    Verdict,
)
from tests import models
from tests.attacks import model_files
from tests.runtime import test_spec
from tests.runtime.test_tolerance import documented

RANDOM_SPECS = 400
SPEC_DAMAGE = b'"\\{}[]:,0159eE-. \x00\x7f\x80\xff=A'


def write_all(folder: Path) -> Path:
    """Write all cases into a new folder; gives it."""
    folder.mkdir()
    write_specs(folder / "specs")
    write_models(folder / "models")
    write_camera(folder / "camera")
    write_scores(folder / "scores.json")
    table: dict[str, dict[str, float]] = {}
    for (scheme, delegate), value in documented("### Tolerances of the app").items():
        table.setdefault(scheme, {})[delegate] = value
    (folder / "tolerances.json").write_text(json.dumps(table))
    return folder


def write_specs(folder: Path) -> None:
    """Documents, named by what Python does with them: those of tests/runtime, and random changes of them."""
    folder.mkdir()
    documents: dict[str, bytes] = {
        "full": _bytes(test_spec.full()),
        "gray": _bytes(test_spec.gray()),
        "smallest": _bytes(test_spec.SMALLEST),
        "no_text": b"\xff\xfe\xff",
    }
    for number, (path, value, _) in enumerate(test_spec.REFUSED):
        documents[f"refused{number}"] = _bytes(test_spec.changed(test_spec.full(), path, value))
    for number, (text, _) in enumerate(test_spec.BEYOND_THE_SCHEMA):
        documents[f"text{number}"] = text.encode()
    randomness = random.Random(22)
    values: list[Any] = [None, True, 0, 1, -1, 0.5, 256, 10**30, 1e300, "", "none", "int8", "BGR", "é", [], [1], {}]
    good = bytes(test_spec.FULL.to_json(), "utf-8")
    for number in range(RANDOM_SPECS):
        document = copy.deepcopy(randomness.choice((test_spec.full, test_spec.gray))())
        test_spec.mutate(document, randomness, values)
        documents[f"changed{number}"] = _bytes(document)
        damaged = bytearray(good)
        damaged[randomness.randrange(len(good))] = randomness.choice(SPEC_DAMAGE)
        documents[f"damaged{number}"] = bytes(damaged)
    for name, content in documents.items():
        try:
            ModelSpec.from_json(content)
            outcome = "accepted"
        except EdgekitError:
            outcome = "refused"
        (folder / f"{name}.{outcome}.json").write_bytes(content)


def write_models(folder: Path) -> None:
    """Good model files with what Python says of them, and hostile ones, which Python refuses."""
    folder.mkdir()
    expected = {}

    def good(path: Path, nodes: int, verdict: str = "none") -> None:
        expected[path.name] = {"digest": modelfile.digest(path), "verdict": verdict, "nodes": nodes}

    good(models.with_spec(models.tflite(folder / "good.tflite")), 3)
    good(models.with_spec(models.tflite(folder / "bytes.tflite", dtype="uint8"), models.spec("uint8")), 4)
    good(models.with_spec(models.tflite(folder / "outside.tflite", weights_outside=True)), 3)
    good(models.with_spec(models.tflite(folder / "zip.tflite", zip_trailer=True)), 3)
    good(models.carrying(folder / "foreign.tflite", models.spec().to_json().encode()), 3)
    good(model_files.named_badly(folder / "named_badly.tflite"), 3, "stale")
    for outcome in ("pass", "fail", "inconclusive"):
        path = models.with_spec(models.tflite(folder / f"{outcome}.tflite"))
        verdict = Verdict(outcome, modelfile.digest(path), "", "", 10)
        good(models.with_spec(path, models.spec(verdict=verdict)), 3, outcome)
    (folder / "expected.json").write_text(json.dumps(expected))

    good_content = (folder / "good.tflite").read_bytes()
    refused: dict[str, bytes] = {
        "empty": b"",
        "short": b"\x1c\0\0\0TFL3",
        "text": b"hello, this is no model",
        "onnx": models.onnx(folder / "model.onnx").read_bytes(),
        "no_spec": models.tflite(folder / "bare").read_bytes(),
        "half": model_files.truncated(models.tflite)(folder / "half").read_bytes(),
        "huge": model_files.huge_tflite(folder / "huge").read_bytes(),
        "crowded": model_files.crowded_tflite(folder / "crowded").read_bytes(),
        "header": good_content[:16] + b"\xff" * 16 + good_content[32:],
        "no_json": models.carrying(folder / "x.tflite", b"{").read_bytes(),
        "deep": models.carrying(folder / "x.tflite", b"[" * 200_000).read_bytes(),
        "label": models.carrying(folder / "x.tflite", model_files.spec_of(labels=["x" * 501, "y"])).read_bytes(),
    }
    for name in ("bare", "half", "huge", "crowded", "x.tflite", "model.onnx"):
        (folder / name).unlink()
    for name, content in refused.items():
        (folder / f"{name}.refused").write_bytes(content)


def write_camera(folder: Path) -> None:
    """Specs of every kernel, crop, layout and dtype, each with its camera vectors."""
    folder.mkdir()
    crops = (Crop(), Crop("center"), Crop("center", 0.57, "round"), Crop("pad", fill=(114, 7, 250)))
    pixels = (  # height, width, dtype, quantization, layout, channel order, mean, std
        (24, 24, "uint8", Quantization(1.0, 0), "NHWC", "RGB", (0.0,) * 3, (1.0,) * 3),
        (33, 20, "float32", None, "NCHW", "BGR", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        (20, 31, "int8", Quantization(0.5, 3), "NHWC", "gray", (33.3,), (7.7,)),
        (17, 16, "int16", Quantization(1 / 32767, 0), "NCHW", "RGB", (127.5,) * 3, (127.5,) * 3),
        (400, 300, "uint8", Quantization(1 / 128, 128), "NHWC", "BGR", (127.5,) * 3, (127.5,) * 3),  # is enlarged
    )
    number = 0
    for kernel in KERNELS:
        for crop in crops:
            # All of these once, then a different one each time.
            chosen = pixels if number == 0 else (pixels[number % len(pixels)],)
            for height, width, dtype, quantization, layout, order, mean, std in chosen:
                spec = ModelSpec(
                    InputSpec("image", height, width, len(mean), dtype, layout, quantization),
                    Preprocess(kernel, crop, "exif", order, mean, std),
                    OutputSpec("scores", "softmax"),
                    ("no", "yes"),
                )
                (folder / f"{number:02}.spec.json").write_text(spec.to_json())
                (folder / f"{number:02}.vectors.json").write_bytes(camera_vectors.document(spec))
                number += 1


def write_scores(path: Path) -> None:
    """Outputs of models, and the scores that Python makes of them."""
    cases = []
    random_numbers = np.random.default_rng(8)
    for activation in ("softmax", "sigmoid", "logits"):
        for temperature in (1.0, 0.7, 2.5):
            for labels, width in ((2, 1), (2, 2), (7, 7)):
                logits = random_numbers.normal(0, 4, width)
                powers = np.exp(logits - logits.max())
                of = {"logits": logits, "sigmoid": 1 / (1 + np.exp(-logits)), "softmax": powers / powers.sum()}
                for output in (of[activation], np.zeros(width), np.ones(width), 1e-8 * powers, 90 * logits):
                    if activation != "logits" and (output.min() < 0 or output.max() > 1):
                        continue
                    cases.append(_scores(activation, temperature, labels, np.asarray(output, np.float32)))
    path.write_text(json.dumps({"cases": cases}))


def _scores(activation: str, temperature: float, labels: int, output: np.ndarray[Any, Any]) -> dict[str, Any]:
    output_spec = OutputSpec("scores", activation, calibration=ScoreCalibration(temperature))
    names = [str(number) for number in range(labels)]
    spec = dataclasses.replace(models.spec(labels=names), output=output_spec)
    scores = to_scores(output[None], output_spec, labels)[0]
    return {"spec": json.loads(spec.to_json()), "output": output.tolist(), "scores": scores.tolist()}


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()
