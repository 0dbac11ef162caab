"""Image in, ranked labels out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime import images, preprocess
from edgekit.runtime.errors import ModelFileError, SpecError
from edgekit.runtime.interpreters import Interpreter, open_interpreter
from edgekit.runtime.modelfile import read_spec, sniff
from edgekit.runtime.spec import ModelSpec, OutputSpec, printable


@dataclass(frozen=True)
class Prediction:
    """One label and its score (0..1)."""

    label: str
    score: float


@dataclass(frozen=True)
class Answer:
    """The best labels of one image, best first; `sure` is False below the spec's threshold."""

    predictions: tuple[Prediction, ...]
    sure: bool


class Classifier:
    """A `.tflite` or `.onnx` file that carries its spec, ready to run. It belongs to one thread at a time."""

    def __init__(self, path: str | Path, *, threads: int = 1, interpreter: Interpreter | None = None) -> None:
        """Load the file, unless it comes with an interpreter of its own, and check that its spec fits it.

        Raises:
            ModelFileError: the file is damaged or of another kind.
            SpecError: the file carries no spec, or one that does not fit.
            RuntimeMissingError: no interpreter for it is installed.
        """
        self.path = Path(path)
        spec = read_spec(self.path)
        if spec is None and sniff(self.path) == "unknown":
            raise ModelFileError(f"{printable(str(path))} is no model file that edgekit knows, or a damaged one.")
        if spec is None:
            raise SpecError(
                f"{printable(str(path))} carries no edgekit spec, so nothing says how to feed it.",
                f"Give it one with: edgekit import {printable(str(path))} --labels … -o …",
            )
        self.spec = spec
        self.interpreter = interpreter or open_interpreter(self.path, threads)
        check_fit(self.spec, self.interpreter, self.path.name)

    def scores(self, tensors: NDArray[Any]) -> NDArray[np.float32]:
        """Scores, float32 [N, labels], of prepared inputs [N, …] in the input's dtype.

        Raises:
            SpecError: the model, which leaves the size of its output open, gives another number of scores.
            ModelFileError: the interpreter fails.
        """
        labels = len(self.spec.labels)
        scores = to_scores(self.interpreter.run(tensors), self.spec.output, labels)
        if scores.shape[1] != labels:
            raise SpecError(
                f"{printable(self.path.name)} gives {scores.shape[1]} scores, but its spec has {labels} labels."
            )
        return scores

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor (no batch axis) that the model takes for an RGB image, uint8 [H, W, 3]."""
        return preprocess.prepare(image, self.spec)

    def classify(self, image: str | Path | bytes | NDArray[np.uint8], top: int = 5) -> Answer:
        """The `top` best labels of an image file, its bytes, or an RGB array, uint8 [H, W, 3].

        Raises:
            ImageError: the image cannot be read.
        """
        if isinstance(image, (str, Path)):
            image = images.decode(Path(image), orientation=self.spec.preprocess.orientation)
        elif isinstance(image, bytes):
            image = images.decode(image, orientation=self.spec.preprocess.orientation)
        return rank(self.scores(self.prepare(image)[None])[0], self.spec, top)


def rank(scores: NDArray[np.float32], spec: ModelSpec, top: int) -> Answer:
    """The best labels of one row of scores, float32 [labels]; equal scores keep the order of the labels.

    Raises:
        ModelFileError: a score is not a number, and has no rank.
    """
    if not np.isfinite(scores).all():
        raise ModelFileError(
            "The model answers with NaN or infinity.", "Its weights are damaged, or training diverged."
        )
    order = np.argsort(-scores, kind="stable")[:top]
    threshold = spec.output.calibration.threshold
    best = float(scores[order[0]])
    return Answer(
        tuple(Prediction(spec.labels[index], float(scores[index])) for index in order),
        sure=threshold is None or best >= threshold,
    )


def to_scores(outputs: NDArray[np.float32], spec: OutputSpec, labels: int) -> NDArray[np.float32]:
    """Turn a model's output [N, …] into scores, float32 [N, labels].

    Applies the activation that the graph leaves out and the temperature (Guo et al. 2017); a width of 1
    with two labels becomes [1 − p, p].
    """
    outputs = outputs.reshape(len(outputs), -1)
    temperature = spec.calibration.temperature
    if outputs.shape[1] == 1 and labels == 2:
        if spec.activation == "logits":
            positive = _sigmoid(outputs / temperature)
        elif temperature != 1:
            positive = _sigmoid(_logit(outputs) / temperature)
        else:
            positive = outputs
        return np.concatenate([1 - positive, positive], axis=1)
    if spec.activation == "logits":
        return _softmax(outputs / temperature)
    if temperature != 1:
        if spec.activation == "sigmoid":
            return _sigmoid(_logit(outputs) / temperature)
        return _softmax(np.asarray(np.log(np.maximum(outputs, 1e-12)) / temperature, np.float32))
    return outputs


def check_fit(spec: ModelSpec, model: Interpreter, name: str) -> None:
    """Raise SpecError when a spec does not describe the model that carries it."""
    image = spec.input
    sides = (image.height, image.width, image.channels)
    expected = sides if image.layout == "NHWC" else (image.channels, image.height, image.width)
    shape = model.input.shape[1:]
    if len(shape) != 3 or any(has not in (None, want) for has, want in zip(shape, expected, strict=True)):
        raise SpecError(f"{printable(name)} takes {model.input.shape}, but its spec says {image.layout} {expected}.")
    if model.input.dtype != image.dtype or _differs(model.input.quantization, image.quantization):
        raise SpecError(
            f"{printable(name)} takes {model.input.dtype} with {model.input.quantization}, but its spec says "
            f"{image.dtype} with {image.quantization}."
        )
    width = int(np.prod([side or 1 for side in model.output.shape[1:]]))
    if None not in model.output.shape[1:] and width != len(spec.labels) and not (width == 1 and len(spec.labels) == 2):
        raise SpecError(f"{printable(name)} gives {width} scores, but its spec has {len(spec.labels)} labels.")


def _differs(model: Any, spec: Any) -> bool:
    """Whether two quantizations disagree; one that the file does not declare (ONNX) is the spec's business."""
    if model is None or spec is None:
        return False
    return bool(abs(model.scale - spec.scale) > 1e-6 * spec.scale or model.zero_point != spec.zero_point)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def _logit(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)
