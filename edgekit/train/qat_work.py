"""Quantization-aware training in the child process: from a trained network to one whose answers survive int8.

The network is folded (`folding`), fake quantization is put in (`fake_quant`), with ranges that are measured on training
images first, and it is trained on at a small rate. What is saved is the folded network with its weights as int8 rounds
them, made of Keras' own layers; the ranges of its activations go beside it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ConversionError, EdgekitError
from edgekit.importers import keras_checks, legacy_config
from edgekit.runtime.spec import printable
from edgekit.train import fake_quant, folding, loop
from edgekit.train.augment import Augment, photographed, shifted
from edgekit.train.devices import Devices
from edgekit.train.fake_quant import Range, Simulation
from edgekit.train.layer_graph import LayerGraph
from edgekit.train.request import Feeding, Made, Request
from edgekit.train.settings import PHOTO_SIZE

EPOCHS = 10  # after training; from a file, --epochs says
PATIENCE = 5
RATE = 1e-4
MEASURED, AT_ONCE = 256, 8  # images that the first ranges come from; few at once, since all activations are kept
COMPARED = 16  # images
SAME = 1e-3  # of the largest output: how far folding may move it


def load(path: Path) -> Any:
    """The Keras model in a `.keras` file, on either back end.

    Raises:
        ImportRefused, ModelFileError: the checks refuse it.
        EdgekitError: it is a frozen graph, or Keras cannot load it.
    """
    import keras

    checked = keras_checks.check_model(path)
    if legacy_config.mentions(checked.config, "FrozenGraph"):
        raise EdgekitError(
            f"{printable(path.name)} is a frozen graph, which computes and cannot be trained.",
            "Train the Keras model that it was made from.",
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError) as error:
        first = printable(str(error).strip().partition("\n")[0])[:200]
        raise EdgekitError(f"Keras cannot load {printable(path.name)}: {first}") from error


def fed(network: Any, feeding: Feeding) -> Any:
    """The network with what becomes of pixels before it, so that it takes pixels 0..255 itself."""
    import keras

    if _is_plain(feeding):
        return network
    pixels = keras.Input(network.inputs[0].shape[1:], name="pixels")
    return keras.Model(pixels, _output(network, _prepared(feeding)(pixels)))


def refine(request: Request, devices: Devices, made: Made) -> Made:
    """Train a network on with fake quantization, and keep that if it is better on the validation images.

    Everything is float32: float16 has fewer steps than some ranges need.

    Raises:
        EdgekitError: its layers cannot be trained so.
        ConversionError: training diverged, or folding changed the network's answers.
    """
    epochs = request.settings.epochs if request.source is not None else EPOCHS
    folded = folding.fold(made.model)
    before = _right(request, _asked(request, made.model, "held out"))
    _require_same(request, made.model, folded)
    graph = LayerGraph.of(folded)
    single = _simulation(graph, request)
    single.set_ranges(_measured(request, graph, single.places))
    untrained = _Answers.of(request, single.model)
    start = single.model.get_weights()
    with devices.scope():
        spread = _simulation(graph, request).model
        spread.set_weights(start)
        loop.compile_for(spread, _optimizer(request.steps(devices) * epochs))
        history = request.fit(devices, spread, epochs, PATIENCE, _augment(request), "qat", "qat.npz")
    single.model.set_weights(spread.get_weights())
    trained = _Answers.of(request, single.model)
    kept = trained.loss < untrained.loss and trained.right >= untrained.right
    if not kept:
        single.model.set_weights(start)
    final = trained if kept else untrained
    single.round_into(folded)
    saved = _asked(request, folded, "held out")
    return dataclasses.replace(
        made,
        model=folded,
        learned=len(request.ranges["training"]),
        logits=np.log(np.maximum(final.validation, 1e-12)),
        truth=request.truth_of("validation"),
        ranges=single.ranges(),
        quantized={
            "kept": kept,
            "before": before,
            "untrained": _right(request, untrained.held_out),
            "top1": _right(request, final.held_out),
            "agreement": float((saved.argmax(1) == final.held_out.argmax(1)).mean()),
            "losses": [untrained.loss, trained.loss],
            "history": history,
        },
    )


@dataclass(frozen=True)
class _Answers:
    """What a simulation says: probabilities [N, labels] of two parts; the mean cross-entropy and top-1 on the first."""

    validation: NDArray[np.float32]
    held_out: NDArray[np.float32]
    loss: float
    right: float

    @classmethod
    def of(cls, request: Request, model: Any) -> _Answers:
        found = request.scores(model, "validation")
        truth = request.truth_of("validation")
        loss = -np.log(np.maximum(found[np.arange(len(truth)), truth], 1e-7)).mean()
        right = float((found.argmax(1) == truth).mean())
        return cls(found, request.scores(model, "held out"), float(loss), right)


def _right(request: Request, answers: NDArray[np.float32]) -> float:
    return float((answers.argmax(1) == request.truth_of("held out")).mean())


def _asked(request: Request, network: Any, part: str) -> NDArray[np.float32]:
    """The probabilities that a network in float gives to a part, [N, labels]."""
    import keras

    pixels = keras.Input(network.inputs[0].shape[1:], name="pixels")
    x = pixels if _is_plain(request.feeding) else _prepared(request.feeding)(pixels)
    return request.scores(keras.Model(pixels, _probabilities(request, _output(network, x))), part)


def _output(network: Any, x: Any) -> Any:
    """What the network gives, which some call a list of one output."""
    import keras

    [output] = keras.tree.flatten(network(x))
    return output


def _simulation(graph: LayerGraph, request: Request) -> Simulation:
    feeding = request.feeding
    ends = [(end - mean) / std for end in (0, 255) for mean, std in zip(feeding.mean, feeding.std, strict=True)]
    return fake_quant.simulate(
        graph,
        (lambda x: x) if _is_plain(feeding) else lambda x: _prepared(feeding)(x),
        (min(ends), max(ends)),
        lambda x: _probabilities(request, x),
    )


def _is_plain(feeding: Feeding) -> bool:
    return not any(feeding.mean) and all(value == 1 for value in feeding.std)


def _prepared(feeding: Feeding) -> Any:
    import keras

    return keras.layers.Normalization(mean=feeding.mean, variance=[value**2 for value in feeding.std], name="prepared")


def _probabilities(request: Request, x: Any) -> Any:
    """What makes probabilities, [N, labels], of a network's output, as `edgekit.runtime.classify.to_scores` does it."""
    import keras

    if len(x.shape) != 2:
        x = keras.layers.Flatten(name="probabilities_flat")(x)
    activation = request.feeding.activation
    if x.shape[-1] == 1 and request.labels == 2:
        positive = keras.ops.sigmoid(x) if activation == "logits" else x
        return keras.ops.concatenate([1 - positive, positive], axis=1)
    return keras.layers.Softmax(name="probabilities")(x) if activation == "logits" else x


def _require_same(request: Request, network: Any, folded: Any) -> None:
    """Folding is exact but for rounding; a layer that it did not understand shows here."""
    images = request.pixels.read(range(min(COMPARED, len(request.pixels)))).astype(np.float32)
    given = _given(request, images)
    first, second = (np.asarray(model.predict_on_batch(given), np.float32) for model in (network, folded))
    difference = float(np.abs(first.ravel() - second.ravel()).max())
    if not difference <= SAME * max(1.0, float(np.abs(first).max())):
        raise ConversionError(
            f"Folding its batch normalization changed the network's answers (by {difference:.3g}), so it cannot be "
            "trained with --qat.",
            "Convert the model as it is: edgekit convert --quantize int8 --calibrate DATA.",
        )


def _measured(request: Request, graph: LayerGraph, places: tuple[str, ...]) -> dict[str, Range]:
    """The extremes of each place over some training images."""
    import keras

    model = fake_quant.observed(graph, places)
    images = request.ranges["training"]
    chosen = np.unique(np.linspace(images.start, images.stop - 1, min(MEASURED, len(images))).astype(int)).tolist()
    lows, highs = np.full(len(places), np.inf), np.full(len(places), -np.inf)
    for at in range(0, len(chosen), AT_ONCE):
        pixels = request.pixels.read(chosen[at : at + AT_ONCE]).astype(np.float32)
        outputs = keras.tree.flatten(model.predict_on_batch(_given(request, pixels)))
        lows = np.minimum(lows, [float(np.min(each)) for each in outputs])
        highs = np.maximum(highs, [float(np.max(each)) for each in outputs])
    return {name: (float(low), float(high)) for name, low, high in zip(places, lows, highs, strict=True)}


def _given(request: Request, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network itself takes for pixels 0..255, [N, H, W, C]."""
    mean, std = (np.array(values, np.float32) for values in (request.feeding.mean, request.feeding.std))
    return np.asarray((pixels - mean) / std, np.float32)


def _optimizer(steps: int) -> Any:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=RATE, warmup_steps=max(1, steps // 10)
    )
    return keras.optimizers.Adam(rate)


def _augment(request: Request) -> Augment:
    height, width, channels = request.shape
    if channels == 3 and min(height, width) >= PHOTO_SIZE:
        return photographed(request.settings.mirror)
    return shifted
