"""Whether wrong calibration data is refused or flagged, with the right reason, and right data never is."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import models
from benchmarks.measure import Figure, say
from edgekit.convert.calibrate import examine, outcome
from edgekit.convert.float_core import float_core, probe_pixels, source_spec
from edgekit.convert.tflite_graph import TFLiteGraph
from edgekit.core.errors import EdgekitError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.splits import stratified_sample
from edgekit.data.stream import BadImages
from edgekit.quantize import calibration
from edgekit.quantize.evidence.finding import REFUSAL, WARNING, Finding
from edgekit.runtime.spec import ModelSpec

FED_WRONGLY = (("0 to 255 where 0 to 1 is wanted", 1.0, 255.0), ("0 to 1 where 0 to 255 is wanted", 255.0, 1.0))
SUBSETS, SMALLEST, LARGEST = 40, 30, 120
Pixels = NDArray[np.uint8]


def measure(work: Path, model: Path, data: Dataset, name: str) -> list[Figure]:
    """The share of wrong sets that are refused or flagged for the right reason, and of right sets that are refused.

    `model` is a `.keras` file that takes pixels from 0 to 255, and has learned from `data`.
    """
    say(f"  calibration data: {name}")
    spec = source_spec(model)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        core = float_core(model, spec, "tflite", probe_pixels(spec, None), Path(folder), False)
        caught, missed = 0, []
        archive = np.load(models.prepared(data.subset(stratified_sample(data, 200, 1)), model, work / "sample.npz"))
        wrong = list(_wrong_sets(archive["x"]))
        for kind, expected, pixels in wrong:
            np.savez(work / "wrong.npz", x=pixels)
            found = _findings(core, spec, open_dataset(work / "wrong.npz"), len(pixels))
            right = any(each.kind == expected and each.level in (REFUSAL, WARNING) for each in found)
            caught += right
            missed += [] if right else [kind]
        for kind, network, fed in FED_WRONGLY:
            right = _fed_wrongly(core, spec, data, network, fed)
            caught += right
            missed += [] if right else [kind]
        refused = sum(
            outcome(_findings(core, spec, data, int(count), seed)) == "unfit"
            for seed, count in enumerate(np.linspace(SMALLEST, LARGEST, SUBSETS).round())
        )
    return [
        Figure(f"{name}: wrong calibration data refused or flagged for its reason", 100,
               100 * caught / (len(wrong) + len(FED_WRONGLY)), " %", at_least=True,
               detail=f"{len(wrong) + len(FED_WRONGLY)} kinds{', not ' if missed else ''}{', '.join(missed)}"),
        Figure(f"{name}: right calibration data refused", 0, refused, "",
               detail=f"{SUBSETS} random sets of {SMALLEST} to {LARGEST} images"),
    ]


def _wrong_sets(pixels: Pixels) -> Iterator[tuple[str, str, Pixels]]:
    """What it is, the finding that should say so, and the images."""
    yield "zeros", "single colours", np.zeros_like(pixels)
    yield "one image 100 times", "one image", np.repeat(pixels[:1], 100, axis=0)
    yield "scaled to 0..1", "range", (pixels / 255).round().astype(np.uint8)
    yield "scaled to −1..1 and stored as bytes", "range", (pixels / 127.5 - 1).round().astype(np.int8).view(np.uint8)
    yield "a fifth of the contrast", "range", (pixels // 8 + 100).astype(np.uint8)


def _fed_wrongly(core: Path, spec: ModelSpec, data: Dataset, network: float, fed: float) -> bool:
    """Whether it is found that the spec says a wrong std.

    `core` becomes that of a model that wants pixels from 0 to `network`, whose spec feeds it pixels from 0 to `fed`.
    """
    channels = spec.input.channels
    graph = TFLiteGraph(core)
    graph.prepend_normalisation((0.0,) * channels, (network / fed,) * channels, spec.input.layout)
    wrong = core.with_name("wrong.tflite")
    graph.save(wrong)
    said = dataclasses.replace(spec, preprocess=dataclasses.replace(spec.preprocess, std=(255 / fed,) * channels))
    found = _findings(wrong, said, data, 100)
    return any(each.kind in ("feeding", "answers") and each.level in (REFUSAL, WARNING) for each in found)


def _findings(core: Path, spec: ModelSpec, data: Dataset, samples: int, seed: int = 0) -> list[Finding]:
    """All that `edgekit calibrate --check` would say."""
    chosen = calibration.gather(data, spec, samples, seed, BadImages())
    try:
        return examine(core, spec, chosen, "the model")[0]
    except EdgekitError as error:
        return [Finding("error", REFUSAL, error.message)]
