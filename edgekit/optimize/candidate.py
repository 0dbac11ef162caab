"""One candidate, from its plan to its scores. Runs in a child process, since quantizers and interpreters crash."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import finish
from edgekit.core import fitness
from edgekit.optimize.repair import repaired
from edgekit.quantize.observe import Statistics
from edgekit.quantize.plan import LEARNED, RANGES, Plan
from edgekit.runtime import preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import ModelSpec

CHUNK = 64


def make(
    plan: dict[str, Any], core: str, statistics: str, learned: str, spec: str, source: str, calibration: str,
    calibration_sha256: str, io: str, step: str, selection: str, device: str, target: str, scores: str,
) -> str:
    """Write the candidate of `plan` to `target`, with its spec, and its scores on the selection part to `scores`.

    Args:
        core, statistics, learned: see `edgekit.optimize.material.Core`.
        spec: a file with the source's spec as JSON.
        calibration, selection: `.npy` files of pixels, uint8 [N, height, width, channels].
        step: for the candidate's provenance.
        device: whose runtime must be able to run it: android, raspberry-pi or any.
        scores: the `.npy` to write, float32 [N, labels].

    Returns:
        Why that runtime cannot run it, or answers wrongly; empty where it runs it.
    """
    wanted, of_source = Plan.from_json(plan), ModelSpec.from_json(Path(spec).read_bytes())
    with tempfile.TemporaryDirectory() as folder, finish.running(f"Quantizing to {wanted.name}"):
        work, pixels = Path(folder), np.load(calibration, mmap_mode="r")
        ready, observed = repaired(
            Path(core), Statistics.load(Path(statistics)), wanted, of_source, pixels, work
        )
        known = None
        if wanted.ranges == LEARNED:
            known, wanted = json.loads(Path(learned).read_text("utf-8")), dataclasses.replace(wanted, ranges=RANGES[0])
        made = finish.quantized(ready, of_source, wanted, io=io, statistics=observed, work=work, learned=known)
        finished = finish.finished_spec(
            of_source, Path(source), made, wanted, io=io, step=step, calibration_sha256=calibration_sha256
        )
        classifier = finish.opened(made, finished, Path(target))
        reason = fitness.runs_on(Path(target), device) if device == "android" else ""
        np.save(scores, answer(classifier, np.load(selection, mmap_mode="r")))
    return reason


def repair(plan: dict[str, Any], core: str, statistics: str, spec: str, calibration: str, target: str) -> None:
    """Write the core that `plan` wants into the folder `target`, as core.tflite or core.onnx, and statistics.npz."""
    of_source, folder = ModelSpec.from_json(Path(spec).read_bytes()), Path(target)
    pixels = np.load(calibration, mmap_mode="r")
    with tempfile.TemporaryDirectory() as work:
        ready, observed = repaired(
            Path(core), Statistics.load(Path(statistics)), Plan.from_json(plan), of_source, pixels, Path(work)
        )
        shutil.copyfile(ready, folder / f"core{ready.suffix}")
    observed.save(folder / "statistics.npz")


def answer(classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The scores for pixels, uint8 [N, height, width, channels] -> float32 [N, labels]."""
    return np.concatenate(
        [
            classifier.scores(np.stack([preprocess.to_tensor(image, classifier.spec) for image in chunk]))
            for chunk in (pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK))
        ]
    )
