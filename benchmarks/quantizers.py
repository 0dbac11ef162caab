"""edgekit's int8 beside the TensorFlow converter's own and litert-quantizer's defaults, of the same model."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import models
from benchmarks.measure import EDGEKIT, Figure, Run, in_turns, run, say
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.validate.gate import Gate

ROUNDS, SAMPLES = 3, 100
SLOWER, SLOWER_SEARCH = 1.25, 10.0  # than the TensorFlow converter: one conversion, and a search of many
INFERENCES = 200
BARE = Path(__file__).with_name("bare_quantize.py")
BESIDE = {"tensorflow": "TensorFlow converter", "litert": "litert-quantizer"}

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """One way to int8: seconds and peak of its process, its file's bytes, answers [N] and milliseconds."""

    made: Run
    size: int
    answers: NDArray[np.int64]
    ms: float


def compare(work: Path, name: str, model: Path, data: Dataset, gate: Gate | None = None) -> list[Figure]:
    """Agreement with the float model, size, latency and time; on all of the data.

    Args:
        model: a `.keras` file that takes pixels from 0 to 255.
        gate: with it, edgekit's file is that of `edgekit optimize` and not of `edgekit convert`.
    """
    say(f"  {name}: quantizers side by side")
    images = models.prepared(data, model, work / f"{model.stem}.all.npz")
    archive = np.load(images)
    pixels: Images = archive["x"].reshape(*archive["x"].shape[:3], -1)
    some = work / f"{model.stem}.some.npz"
    chosen = np.random.default_rng(0).permutation(len(pixels))[:SAMPLES]
    np.savez(some, x=pixels[chosen], y=archive["y"][chosen])
    paths = {way: work / f"{model.stem}.{way}.tflite" for way in ("edgekit", *BESIDE)}
    calibrated = ("--quantize", "int8", "--calibrate", some, "--samples", str(SAMPLES))
    ours: list[str | Path] = [*EDGEKIT, "convert", model, "-o", paths["edgekit"], *calibrated]
    if gate is not None:
        ours = [*EDGEKIT, "optimize", model, "-o", paths["edgekit"], "--data", images, "--max-drop", str(gate.max_drop)]
    bare: list[list[str | Path]] = [[sys.executable, BARE, way, model, some, paths[way]] for way in BESIDE]
    commands = [ours, *bare]
    made = in_turns([partial(run, *command) for command in commands], ROUNDS if gate is None else 1)
    models_ = {way: _Model(path) for way, path in paths.items()}
    times = in_turns([partial(each.milliseconds, pixels) for each in models_.values()], ROUNDS)
    reference = _Model(models.converted(model, "none", "tflite", images)).answers(pixels)
    found = {
        way: Measured(_median(runs), paths[way].stat().st_size, each.answers(pixels), statistics.median(ms))
        for (way, each), runs, ms in zip(models_.items(), made, times, strict=True)
    }
    truth = np.array([sorted(data.labels or ()).index(label) for label in archive["y"]])
    return _figures(name, found, reference, truth, SLOWER if gate is None else SLOWER_SEARCH)


def _figures(
    name: str, found: dict[str, Measured], reference: NDArray[np.int64], truth: NDArray[np.int64], slower: float
) -> list[Figure]:
    def agreement(way: str) -> float:
        return 100 * float((found[way].answers == reference).mean())

    def told(value: Callable[[Measured], float], form: str, unit: str) -> str:
        return "; ".join(f"{way} {value(each):{form}}{unit}" for way, each in found.items())

    ours, theirs = found["edgekit"], found["tensorflow"]
    return [
        Figure(f"{name} int8: agreement above the best of the others", -0.5,
               agreement("edgekit") - max(map(agreement, BESIDE)), " points", at_least=True,
               detail=told(lambda each: 100 * float((each.answers == reference).mean()), ".2f", " %")),
        Figure(f"{name} int8: top-1 above the best of the others", -0.5,
               100 * (_right(ours, truth) - max(_right(found[way], truth) for way in BESIDE)), " points", at_least=True,
               detail=told(lambda each: 100 * _right(each, truth), ".2f", " %")),
        Figure(f"{name} int8: size beside TensorFlow's", 60, (ours.size - theirs.size) / 1e3, " KB",
               detail=told(lambda each: each.size / 1e3, ".0f", " KB")),
        Figure(f"{name} int8: latency beside TensorFlow's", 1.1, ours.ms / theirs.ms, " ×",
               detail=told(lambda each: each.ms, ".3f", " ms")),
        Figure(f"{name} int8: time beside TensorFlow's", slower, ours.made.seconds / theirs.made.seconds, " ×",
               detail=told(lambda each: each.made.seconds, ".1f", " s")),
    ]


def _right(each: Measured, truth: NDArray[np.int64]) -> float:
    return float((each.answers == truth).mean())


def _median(runs: list[Run]) -> Run:
    return Run(statistics.median(each.seconds for each in runs), max(each.peak for each in runs))


class _Model:
    """A `.tflite` file of anybody, run by the interpreter itself, fed with pixels by what its input says."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        [self._input], [self._output] = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def answers(self, pixels: Images) -> NDArray[np.int64]:
        """The best class of each image, int [N]."""
        return np.array([self._run(self._tensor(image)).argmax() for image in pixels])

    def milliseconds(self, pixels: Images) -> float:
        """Median of one inference."""
        tensor, times = self._tensor(pixels[0]), []
        for _ in range(INFERENCES):
            begin = time.perf_counter()
            self._run(tensor)
            times.append(1e3 * (time.perf_counter() - begin))
        return statistics.median(times)

    def _run(self, tensor: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])[0]
        return result

    def _tensor(self, image: Images) -> NDArray[Any]:
        dtype, (scale, zero) = self._input["dtype"], self._input["quantization"]
        values = image[None].astype(np.float32)
        if dtype == np.float32:
            return values
        limits = np.iinfo(dtype)
        return np.asarray(np.clip(np.round(values / scale) + zero, limits.min, limits.max), dtype)


def main() -> None:
    """Compare on a model and data of one's own: python -m benchmarks.quantizers MODEL.keras DATA."""
    import tempfile

    model, data = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        for figure in compare(Path(folder), model.stem, model, open_dataset(data)):
            print(figure.name, figure.found, figure.detail, sep=" | ")


if __name__ == "__main__":
    main()
