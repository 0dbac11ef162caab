"""The float core as a plan wants it: equalized, its biases corrected, with the statistics that belong to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import finish
from edgekit.quantize.bias import correct_bias
from edgekit.quantize.equalize import equalize
from edgekit.quantize.observe import Statistics, observe
from edgekit.quantize.plan import Plan
from edgekit.runtime.spec import ModelSpec


def repaired(
    core: Path, statistics: Statistics, plan: Plan, spec: ModelSpec, pixels: NDArray[np.uint8], work: Path
) -> tuple[Path, Statistics]:
    """Make the repairs of a plan, in its order: equalization first.

    Corrected biases do not change the statistics: what they take back is an error that the float model does not have.

    Args:
        core: the float core, and `statistics` those of its activations.
        spec: the source's.
        pixels: the representative dataset, uint8 [N, height, width, channels].
        work: a folder for the files.

    Returns:
        The repaired core, the core itself where the plan has no repair; and its statistics.

    Raises:
        EdgekitError: the core cannot be repaired or quantized.
    """
    layout = spec.input.layout
    if plan.equalize:
        equalized = work / f"equalized{core.suffix}"
        equalize(core, equalized, pixels, layout)
        core, statistics = equalized, observe(equalized, pixels, layout)
    if plan.correct_bias:
        corrected, first = work / f"corrected{core.suffix}", work / "first"
        first.mkdir()
        uncorrected = dataclasses.replace(plan, correct_bias=False)
        made = finish.quantized(core, spec, uncorrected, io="float32", statistics=statistics, work=first)
        correct_bias(core, made, corrected, pixels, layout)
        core = corrected
    return core, statistics
