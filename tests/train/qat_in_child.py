"""Runs in a child process: networks folded and quantized in simulation, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import learned_ranges
from edgekit.core.errors import EdgekitError

SIDE, LABELS = 16, 4


def networks(folder: str) -> dict[str, Any]:
    """Fold each network, write it to `folder` with ranges, and simulate int8 with one of them."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    keras.utils.set_random_seed(0)
    made = {"blocks": _blocks(), "nested": _nested(), "branches": _branches(), "sequential": _sequential(),
            "twice": _twice()}  # fmt: skip
    return {
        "folded": {name: _folded(model, Path(folder) / f"{name}.keras") for name, model in made.items()},
        "refused": {name: _refusal(model) for name, model in _unfit().items()},
        "simulation": _simulation(made["blocks"]),
        "places": {name: _places(model) for name, model in made.items()},
        "graph": _graph(made["nested"], made["branches"]),
    }


def _blocks() -> Any:
    """Separable blocks as in MobileNet, with an activation in a layer and a residual connection."""
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, kernel_regularizer="l2", name="stem")(x)
    x = layers.BatchNormalization(scale=False, name="stem_norm")(x)
    x = before = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_norm")(x)
    x = layers.Activation("relu", name="depthwise_relu")(x)
    x = layers.Conv2D(8, 1, name="project")(x)
    x = layers.BatchNormalization(center=False, name="project_norm")(x)
    x = layers.Add(name="add")([before, x])
    x = layers.SeparableConv2D(12, 3, activation="silu", depth_multiplier=2, name="separable")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return _stirred(keras.Model(image, layers.Dense(LABELS, activation="softmax", name="scores")(x), name="blocks"))


def _nested() -> Any:
    """A backbone in a model, as people make them for transfer learning; a layer is named as one outside."""
    import keras

    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Conv2D(6, 3, name="conv"), layers.BatchNormalization(), layers.ReLU()],
        name="backbone",
    )
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.ops.subtract(keras.ops.divide(image, 127.5), 1.0)
    x = inner(x, training=False)
    x = layers.Conv2D(6, 3, activation="hard_silu", name="conv")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(8, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return _stirred(keras.Model(image, layers.Dense(LABELS)(x)))


def _branches() -> Any:
    """Batch normalization behind a concatenation, a shared layer, a transposed convolution."""
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="normalise")(image)
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    left, right = layers.ReLU(name="left")(shared(x)), layers.Activation("tanh", name="right")(shared(x))
    x = layers.Concatenate(name="both")([left, right])
    x = layers.BatchNormalization(name="both_norm")(x)
    x = layers.MaxPooling2D(2, name="half")(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, use_bias=False, name="up")(x)
    x = layers.BatchNormalization(name="up_norm")(x)
    x = layers.GlobalMaxPooling2D(name="most")(x)
    return _stirred(keras.Model(image, layers.Dense(1, activation="sigmoid", name="answer")(x)))


def _twice() -> Any:
    """Layers that are called twice: a convolution with an activation and no bias, and an activation."""
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    shared = layers.Conv2D(4, 3, activation="tanh", use_bias=False, name="shared")
    again = layers.ReLU(name="again")
    left = again(layers.Conv2D(6, 1, name="left")(shared(x)))
    right = again(layers.Conv2D(6, 1, kernel_initializer=keras.initializers.RandomNormal(0, 5), name="right")(
        shared(layers.Rescaling(-1.0, name="negative")(x))))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="add")([left, right]))
    return keras.Model(image, layers.Dense(LABELS, name="scores")(x))


def _sequential() -> Any:
    import keras

    layers = keras.layers
    return _stirred(keras.Sequential([
        keras.Input((SIDE, SIDE, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.LeakyReLU(),
        layers.ZeroPadding2D(), layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(LABELS), layers.Softmax(),
    ]))


def _stirred(model: Any) -> Any:
    """With batch statistics as after training."""
    import keras

    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.abs(rng.normal(1, 0.3, array.shape)) for array in layer.get_weights()])
    return model


def _images(model: Any, count: int = 16) -> NDArray[np.float32]:
    shape = (count, *model.inputs[0].shape[1:])
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)


def _folded(model: Any, target: Path) -> dict[str, Any]:
    import keras

    from edgekit.train import fake_quant
    from edgekit.train.folding import fold
    from edgekit.train.layer_graph import LayerGraph

    images = _images(model)
    before = model.predict(images, verbose=0)
    folded = fold(model)
    folded.save(target)
    graph = LayerGraph.of(folded)
    simulation = fake_quant.simulate(graph, lambda x: x, (0.0, 255.0), lambda x: x)
    _measure(simulation, graph, images)
    learned_ranges.add(target, simulation.ranges())
    simulated = simulation.model.predict(images, verbose=0)
    with keras.saving.custom_object_scope({}):
        loaded = keras.saving.load_model(target)
    return {
        "difference": float(np.abs(loaded.predict(images, verbose=0) - before).max()),
        "simulated": float(np.abs(simulated - before).max() / np.abs(before).max()),
        "ranges": simulation.ranges(),
        "unchanged": bool(np.array_equal(model.predict(images, verbose=0), before)),
        "layers": {operation.name: type(operation).__name__ for operation in loaded.operations},
        "modules": sorted({type(operation).__module__.partition(".")[0] for operation in loaded.operations}),
        "activations": sorted(
            {layer.activation.__name__ for layer in loaded.layers if hasattr(layer, "kernel")}
        ),
    }


def _unfit() -> dict[str, Any]:
    import keras

    layers = keras.layers
    image = keras.Input((SIDE, SIDE, 3))

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="own")
            self.inside = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.inside(x)

    @keras.saving.register_keras_serializable("tests")
    class Strange(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    flat = layers.Flatten()(image)
    rows = layers.Reshape((SIDE, -1))(image)
    other = keras.Input((SIDE, SIDE, 3))
    return {
        "recurrent": keras.Model(image, layers.Dense(2)(layers.LSTM(3, name="memory")(rows))),
        "custom": keras.Model(image, layers.Dense(2)(Strange(name="strange")(flat))),
        "program": keras.Model(image, Own()(flat)),
        "channels first": keras.Model(image, layers.Flatten()(
            layers.MaxPooling2D(2, data_format="channels_first", name="turned")(image))),
        "two inputs": keras.Model([image, other], layers.Flatten()(layers.Add()([image, other]))),
    }


def _refusal(model: Any) -> str:
    from edgekit.train.folding import fold

    try:
        fold(model)
    except EdgekitError as error:
        return f"{error.message} | {error.hint}"
    return ""


def _graph(nested: Any, model: Any) -> dict[str, Any]:
    """What `LayerGraph` sees, and that a graph that is built anew answers the same."""
    import keras

    from edgekit.train.layer_graph import LayerGraph

    graph = LayerGraph.of(model)
    again = keras.Input(graph.input.shape[1:])
    rebuilt = keras.Model(again, graph.rebuild(again, lambda node, *args, **kwargs: node.operation(*args, **kwargs)))
    images = _images(model)
    normalise, shared = graph.nodes[:2]
    return {
        "kinds": [type(node.operation).__name__ for node in LayerGraph.of(nested).nodes],
        "consumers": {node.name: [other.name for other in graph.consumers(node)] for node in graph.nodes},
        "calls": [graph.calls(normalise.operation), graph.calls(shared.operation)],
        "difference": float(np.abs(rebuilt.predict(images, verbose=0) - model.predict(images, verbose=0)).max()),
    }


def _places(model: Any) -> dict[str, Any]:
    """By place: whether it rounds, whether it learns, and its first range."""
    from edgekit.train import fake_quant
    from edgekit.train.folding import fold
    from edgekit.train.layer_graph import LayerGraph

    simulation = fake_quant.simulate(LayerGraph.of(fold(model)), lambda x: x, (0.0, 255.0), lambda x: x)
    found = {}
    for name, known in simulation.ranges().items():
        layer = simulation.model.get_layer(f"{name}__range")
        rounds = np.linspace(*known, 1000, dtype=np.float32)[None]
        found[name] = [len(np.unique(np.asarray(layer(rounds)))) <= 256, layer.learns, *known]
    return found


def _measure(simulation: Any, graph: Any, images: NDArray[np.float32]) -> None:
    """Begin with the extremes over some images."""
    from edgekit.train import fake_quant

    seen = fake_quant.observed(graph, simulation.places).predict_on_batch(images)
    simulation.set_ranges({
        name: (float(values.min()), float(values.max())) for name, values in zip(simulation.places, seen, strict=True)
    })


def _simulation(model: Any) -> dict[str, Any]:
    import keras

    from edgekit.train import fake_quant
    from edgekit.train.folding import fold
    from edgekit.train.layer_graph import LayerGraph

    folded = fold(model)
    graph = LayerGraph.of(folded)
    simulation = fake_quant.simulate(graph, lambda x: x, (0.0, 255.0), lambda x: x)
    images = _images(model, 64)
    _measure(simulation, graph, images)
    start = simulation.ranges()
    rounded = simulation.model.predict(images, verbose=0)
    before = folded.predict(images, verbose=0)
    simulation.model.compile("sgd", "categorical_crossentropy")
    simulation.model.fit(images, np.eye(LABELS)[np.arange(64) % LABELS], epochs=2, verbose=0)
    moved = simulation.ranges()
    simulation.round_into(folded)
    off_grid = {}
    for layer in folded.layers:
        if not hasattr(layer, "kernel"):
            continue
        kernel = np.asarray(layer.kernel)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = kernel.reshape(*kernel.shape[:2], -1)
        axes = None if isinstance(layer, keras.layers.Dense) else tuple(range(kernel.ndim - 1))
        steps = kernel / (np.abs(kernel).max(axes, keepdims=True) / 127)
        off_grid[layer.name] = float(np.abs(steps - steps.round()).max())
    return {
        "difference": float(np.abs(rounded - before).max()),
        "start": start,
        "moved": moved,
        "off grid": off_grid,
        "trained": float(np.abs(folded.predict(images, verbose=0) - before).max()),
    }


def refine_on_two(folder: str, backend: str, halted: bool) -> dict[str, Any]:
    """Quantization-aware training as it is on two devices; with `halted`, it ends after an epoch and goes on."""
    from tests.train import on_devices

    members = on_devices._two(backend)
    import keras

    from edgekit.train import qat_work
    from edgekit.train.devices import Devices
    from edgekit.train.request import Feeding, Made, Request
    from edgekit.train.settings import Settings

    work = Path(folder)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    pixels = rng.integers(0, 100, (60, on_devices.SIDE, on_devices.SIDE, 3)) + 100 * truth[:, None, None, None]
    (work / "pixels").write_bytes(pixels.astype(np.uint8).tobytes())
    network = _stirred(on_devices._network())
    network.save(work / "source.keras")
    parts = {"training": range(45), "validation": range(45, 54), "held out": range(54, 60)}
    request = Request(
        Settings(epochs=3, batch_size=16, qat=True), "", (on_devices.SIDE, on_devices.SIDE, 3), 2, work, parts, truth,
        [], True, Feeding((1.0, 2.0, 3.0), (2.0, 2.0, 2.0), "softmax"), work / "source.keras",
    )
    made = Made(network, 45, np.zeros((0, 2), np.float32), np.zeros(0, np.int64), [], [], [])
    if halted:
        whole = Request.fit

        def cut_short(self: Request, devices: Devices, model: Any, epochs: int, *rest: Any) -> Any:
            return whole(self, devices, model, 1, *rest)

        Request.fit = cut_short  # type: ignore[method-assign, assignment]
        qat_work.refine(request, Devices("cpu", backend, members), made)
        Request.fit = whole  # type: ignore[method-assign]
    done = qat_work.refine(request, Devices("cpu", backend, members), made)
    assert done.quantized is not None
    assert done.ranges is not None
    return {
        "history": done.quantized["history"],
        "ranges": done.ranges,
        "layers": [type(layer).__name__ for layer in done.model.layers],
        "top1": done.quantized["top1"],
        "logits": list(done.logits.shape),
    }


def look(path: str) -> dict[str, Any]:
    """What plain Keras finds in a file."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    model = keras.saving.load_model(path)
    return {
        "modules": sorted({type(layer).__module__.partition(".")[0] for layer in model.layers}),
        "kinds": [type(layer).__name__ for layer in model.layers],
        "names": [layer.name for layer in model.layers],
    }
