"""What of a training run happens in a child process, since it imports Keras: from decoded pixels to a `.keras` file.

A network with pretrained weights is not trained at first: a head is fitted to its features (`transfer`), and only then,
if that was asked for, all of it is fine-tuned, and kept where that is better. Other networks are trained from scratch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import calibration, child, learned_ranges
from edgekit.train import backbones, cnn, features, head, loop, qat_work
from edgekit.train.augment import photographed, shifted
from edgekit.train.devices import Devices, prepare
from edgekit.train.request import Feeding, Made, Request
from edgekit.train.settings import CNN, Settings

PATIENCE = 20
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02  # decoupled: Loshchilov and Hutter 2019, arXiv:1711.05101
FINE_TUNE_PATIENCE = 5
FINE_TUNE_RATE = 1e-4
FIRST_LAYER_RATE = 0.1  # of that of the last layer
BETTER = 0.98  # of the loss before; for less, a head that also learns from the validation images is worth more
DROPOUT = 0.2
# Views of an image that a head is fitted to: as many as these passes allow, so that few images get more of them.
PASSES, MOST_VIEWS = 1000, 8


def look(backbone: str, weights: str, side: int | None, device: str) -> dict[str, Any]:
    """Before any image is decoded: whether the device and the network with its weights can be had.

    Returns:
        See `backbones.describe`; empty for the CNN, which needs no looking.
    """
    prepare(device)
    return backbones.describe(backbone, weights, side) if backbone != CNN else {}


def run(
    settings: dict[str, Any],
    backbone: str,
    shape: list[int],
    labels: int,
    folder: str,
    ranges: dict[str, list[int]],
    truth: list[int],
    folds: list[list[int]],
    keep: bool,
    feeding: dict[str, Any],
    source: str | None,
    output: str,
    answers: str,
) -> dict[str, Any]:
    """Train, and save the network to `output`, without a spec.

    `answers` receives `scores`, what the network gives for the images held out [N, outputs], and `logits` with `truth`,
    by which scores are calibrated.

    Returns:
        {"learned", "history", "selection", "notes", "parameters", "device", "backend", "quantized"}: see `Made`.
    """
    request = Request(
        Settings(**settings), backbone, (shape[0], shape[1], shape[2]), labels, Path(folder),
        {name: range(*ends) for name, ends in ranges.items()}, np.array(truth, np.int64), folds, keep,
        Feeding(tuple(feeding["mean"]), tuple(feeding["std"]), feeding["activation"]), Path(source) if source else None,
    )
    devices = prepare(request.settings.device)
    import keras

    keras.utils.set_random_seed(request.settings.seed)
    made = _first(request, devices)
    if request.settings.qat:
        made = qat_work.refine(request, devices, made)
    network = keras.Model(made.model.inputs, made.model.outputs, name=made.model.name)
    network.save(output)  # without the optimizer's state
    if made.ranges is not None:
        learned_ranges.add(Path(output), made.ranges)
    scores = request.scores(qat_work.fed(network, request.feeding), "held out")
    np.savez(answers, allow_pickle=False, scores=scores, logits=made.logits, truth=made.truth)
    return {
        "learned": made.learned,
        "history": made.history,
        "selection": made.selection,
        "notes": made.notes,
        "parameters": int(network.count_params()),
        "device": devices.kind,
        "backend": devices.backend,
        "quantized": made.quantized,
    }


def _first(request: Request, devices: Devices) -> Made:
    """The network as it is before quantization-aware training, which a source is already."""
    if request.source is not None:
        nothing = np.zeros((0, request.labels), np.float32), np.zeros(0, np.int64)
        return Made(qat_work.load(request.source), len(request.ranges["training"]), *nothing, [], [], [])
    if request.backbone != CNN and request.settings.weights != "none":
        return _transfer(request, devices)
    return _from_scratch(request, devices)


def classifier(network: Any, labels: int) -> Any:
    """A network that gives features, with a softmax layer on top."""
    import keras

    x = keras.layers.Dropout(DROPOUT, name="dropout")(network.output)
    scores = keras.layers.Dense(labels, activation="softmax", dtype="float32", name="scores")(x)
    return keras.Model(network.input, scores, name=network.name)


def _from_scratch(request: Request, devices: Devices) -> Made:
    import keras

    settings = request.settings
    steps = request.steps(devices)
    augment = shifted if request.backbone == CNN else photographed(settings.mirror)

    def make() -> Any:
        if request.backbone == CNN:
            return cnn.cnn(*request.shape, request.labels)
        return classifier(backbones.build(request.backbone, request.shape[0], "none"), request.labels)

    with devices.scope():
        model = make()
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps * settings.epochs)
        loop.compile_for(model, keras.optimizers.AdamW(rate, WEIGHT_DECAY))
        history = request.fit(devices, model, settings.epochs, PATIENCE, augment)
    model = devices.gathered(model, make)
    logits = np.log(np.maximum(request.scores(model, "validation"), 1e-12))
    learned = len(request.ranges["training"])
    return Made(model, learned, logits, request.truth_of("validation"), history, [], [])


def _transfer(request: Request, devices: Devices) -> Made:
    settings, labels = request.settings, request.labels
    network = backbones.build(request.backbone, request.shape[0], settings.weights)
    views = max(1, min(MOST_VIEWS, PASSES // len(request.seen)))
    found = features.extract(
        network, request.pixels, request.seen, views, photographed(settings.mirror), settings.seed,
        request.folder / "features", lambda done, total: child.report(stage="features", done=done, total=total),
    )
    truth = request.truth[: len(request.seen)]
    examples = head.Examples(
        found,
        head.targets_of(truth, labels, settings.label_smoothing),
        head.weights_of(truth, labels, settings.class_weights),
    )
    strength, logits, asked = head.USUAL_STRENGTH, np.zeros((0, labels), np.float32), np.array([], np.int64)
    tried: list[head.Tried] = []
    if request.folds:
        strength, tried, logits = head.choose(
            examples, truth, request.folds, lambda done, total: child.report(stage="head", done=done, total=total)
        )
        asked = truth[np.concatenate(request.folds)]
    selection = [
        {"regularisation": each.strength, "loss": each.loss, "accuracy": each.accuracy,
         "chosen": each.strength == strength}
        for each in tried
    ]
    notes: list[str] = []
    history: list[dict[str, float]] = []
    if settings.fine_tune:
        start = head.fit(examples, request.ranges["training"], strength)
        tuned, history, better = _fine_tune(request, devices, start, found)
        notes.append(better)
        if tuned is not None:
            on_validation = np.log(np.maximum(request.scores(tuned, "validation"), 1e-12))
            learned = len(request.ranges["training"])
            return Made(tuned, learned, on_validation, request.truth_of("validation"), history, selection, notes)
    model = classifier(network, labels)
    # Quantization-aware training is judged by the validation images, which the head must not know then.
    taught = request.ranges["training"] if settings.qat else request.seen
    final = head.fit(examples, taught, strength)
    model.get_layer("scores").set_weights([final.kernel, final.bias])
    return Made(model, len(taught), logits, asked, history, selection, notes)


def _fine_tune(
    request: Request, devices: Devices, start: head.Head, found: NDArray[np.float32]
) -> tuple[Any | None, list[dict[str, float]], str]:
    """Train all layers from `start` on; the network if it is better on the validation images, the history, and a line
    that says which."""
    settings, validation = request.settings, request.ranges["validation"]
    truth = request.truth_of("validation")
    before = start.logits(np.asarray(found[validation.start : validation.stop, 0]))
    steps = request.steps(devices)
    with devices.scope():
        with devices.precision():
            model = _headed(request, start)
        _freeze_statistics(model)
        loop.compile_for(model, _discriminative(model, steps * settings.fine_tune))
        history = request.fit(devices, model, settings.fine_tune, FINE_TUNE_PATIENCE, photographed(settings.mirror))
    tuned = devices.gathered(model, lambda: _headed(request, start))
    after = np.log(np.maximum(request.scores(tuned, "validation"), 1e-12))
    # Each at its best temperature, as it will be used: a strongly regularised head is timid before that.
    losses = [calibration.loss(each, truth, calibration.temperature(each, truth)) for each in (before, after)]
    rights = [float((each.argmax(1) == truth).mean()) for each in (before, after)]
    figures = (
        f"validation top-1 {rights[0]:.1%} → {rights[1]:.1%}, loss {losses[0]:.3f} → {losses[1]:.3f} "
        f"on {len(truth)} images"
    )
    if losses[1] < BETTER * losses[0] and rights[1] >= rights[0]:
        return tuned, history, f"Fine-tuning was kept: {figures}."
    return None, history, f"Fine-tuning was not better and is not kept, the fitted head is: {figures}."


def _headed(request: Request, start: head.Head) -> Any:
    network = backbones.build(request.backbone, request.shape[0], request.settings.weights)
    model = classifier(network, request.labels)
    model.get_layer("scores").set_weights([start.kernel, start.bias])
    return model


def _freeze_statistics(model: Any) -> None:
    """Batch normalization as at inference: few images have other statistics than the million it has seen."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _discriminative(model: Any, steps: int) -> Any:
    """AdamW whose rate grows with depth (discriminative fine-tuning: Howard and Ruder 2018, arXiv:1801.06146)."""
    import keras

    last = max(1, len(model.trainable_variables) - 1)
    shares = [FIRST_LAYER_RATE ** (1 - number / last) for number in range(last + 1)]

    class Discriminative(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras is untyped
        """Each variable has its share of the rate."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            share = shares[self._get_variable_index(variable)]  # as Keras' own optimizers find their slots
            super().update_step(gradient, variable, learning_rate * share)

    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=FINE_TUNE_RATE, warmup_steps=max(1, steps // 10)
    )
    return Discriminative(rate, weight_decay=1e-4)
