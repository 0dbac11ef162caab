"""A conversion is finished when its output has been run and compared with its source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ConversionError
from edgekit.runtime.interpreters import Interpreter

FLOAT_TOLERANCE = 1e-3  # of the largest output; float conversions measure 1e-9 to 1e-6
STILL = 1e-6
FEW = 10  # images that are too few to call a model with one answer collapsed
COLLAPSED = 0.9  # agreement below which it is; above, its source nearly always gives that answer, too


@dataclass(frozen=True)
class Comparison:
    """How a candidate's outputs differ from its reference's on the same images."""

    images: int
    max_difference: float
    agreement: float


def require_finite(outputs: NDArray[np.float32], name: str) -> None:
    """A model's outputs must be numbers.

    Raises:
        ConversionError: one is not finite.
    """
    if not np.isfinite(outputs).all():
        raise ConversionError(
            f"{name} itself answers with NaN or infinity; there is nothing to convert.",
            "Its weights are damaged, or training diverged.",
        )


def require_equal(reference: NDArray[np.float32], candidate: NDArray[np.float32], name: str) -> None:
    """A float conversion must answer like its source, [N, …] both.

    Raises:
        ConversionError: it does not, or one of them is not finite.
    """
    require_finite(reference, name)
    if not np.isfinite(candidate).all():
        raise ConversionError(f"Converting {name} gave a model that answers NaN. Nothing was written.")
    difference = float(np.abs(reference.reshape(len(reference), -1) - candidate.reshape(len(candidate), -1)).max())
    if difference > FLOAT_TOLERANCE * max(1.0, float(np.abs(reference).max())):
        raise ConversionError(
            f"Converting {name} gave a model that answers differently (by {difference:.3g}). Nothing was written."
        )


def require_alive(outputs: NDArray[np.float32], name: str) -> None:
    """A float model must not give the same output for all of several different images, [N, …].

    Raises:
        ConversionError: it does, or an output is not finite.
    """
    require_finite(outputs, name)
    if np.ptp(outputs, axis=0).max() <= STILL * max(1.0, float(np.abs(outputs).max())):
        raise ConversionError(
            f"{name} itself answers the same whatever it sees; there is nothing to convert.",
            "Check its weights, mean and std. With --calibrate DATA it is tried on real images.",
        )


def compare(reference: NDArray[np.float32], candidate: NDArray[np.float32], scheme: str) -> Comparison:
    """How far a quantized model's scores, float32 [N, labels], are from its float source's.

    Raises:
        ConversionError: the candidate answers NaN, or the same for all images where its source does not.
    """
    if not np.isfinite(candidate).all():
        raise ConversionError(f"Quantizing to {scheme} gave a model that answers NaN. Nothing was written.")
    moves, moved = np.ptp(candidate, axis=0).max(), np.ptp(reference, axis=0).max()
    agreement = float((candidate.argmax(1) == reference.argmax(1)).mean())
    one_answer = len(np.unique(candidate.argmax(1))) == 1 and len(reference) >= FEW
    if (moves < STILL and moved > 100 * STILL) or (one_answer and agreement < COLLAPSED):
        raise ConversionError(
            f"Quantizing to {scheme} gave a model that answers the same whatever it sees: it has "
            "collapsed. Nothing was written.",
            "Try --quantize int16x8 or float16, and check that the calibration images are like the training's.",
        )
    return Comparison(
        len(reference),
        float(np.abs(candidate - reference).max()),
        agreement,
    )


def run_float(
    model: Interpreter, pixels: NDArray[np.uint8] | NDArray[np.float32], layout: str, batch: int = 32
) -> NDArray[np.float32]:
    """Raw outputs for pixels, [N, height, width, channels], by a model whose input is float32 pixels."""
    if layout == "NCHW":
        pixels = pixels.transpose(0, 3, 1, 2)
    return np.concatenate(
        [
            model.run(np.ascontiguousarray(pixels[start : start + batch], np.float32))
            for start in range(0, len(pixels), batch)
        ]
    )
