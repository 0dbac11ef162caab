"""Runs in a child process, since it needs TensorFlow: what the converters do with graphs that are not easy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import ConversionError

SIDE = 12


def frozen_graphs(folder: str) -> dict[str, Any]:
    """What tf2onnx makes of a frozen graph with a constant of its own, and of one with a foreign operator."""
    import tensorflow as tf

    # isort: split
    import keras
    import onnx
    import tf2onnx.optimizer

    from edgekit.convert import keras_graph, tf2onnx_adapter

    image = keras.Input((SIDE, SIDE, 3), name="photo")
    x = keras.layers.Normalization(mean=[100.0, 110, 120], variance=[3000.0, 3100, 3200])(image)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    frozen = keras_graph._freeze(model, (None, SIDE, SIDE, 3))
    names = frozen.inputs[0].name, frozen.outputs[0].name
    before = tf2onnx.optimizer.optimize_graph
    proto = tf2onnx_adapter.graph_to_onnx(frozen.graph.as_graph_def(), *names, 18)
    tf2onnx_adapter.save(proto, Path(folder) / "model.onnx")
    slim = onnx.load(Path(folder) / "model.onnx")
    inputs = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    np.savez(Path(folder) / "answers.npz", x=inputs, y=np.asarray(model(inputs)))

    odd = keras_graph._freeze(keras.Model(image, keras.ops.erfinv(image)), (None, SIDE, SIDE, 3))
    foreign = tf2onnx_adapter.graph_to_onnx(odd.graph.as_graph_def(), odd.inputs[0].name, odd.outputs[0].name, 18)
    return {
        "replaced": before is not tf2onnx.optimizer.optimize_graph,
        "inputs": [tensor.name for tensor in slim.graph.input],
        "batch": slim.graph.input[0].type.tensor_type.shape.dim[0].dim_value,
        "opset": slim.opset_import[0].version,
        "left_over": [tf2onnx_adapter.left_over(proto), tf2onnx_adapter.left_over(foreign)],
        "variables": [node.op for node in frozen.graph.as_graph_def().node if "Variable" in node.op],
        "tensorflow": tf.__version__,
    }


def odd_models(folder: str) -> dict[str, str]:
    """The outcome of both conversions of some models: "converted", or the error."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    from edgekit.convert import keras_graph

    image = keras.Input((SIDE, SIDE, 3), name="photo")
    mean = keras.layers.GlobalAveragePooling2D()(image)
    rows = keras.layers.Reshape((SIDE, 3 * SIDE))(image)
    single = keras.Input(batch_shape=(1, SIDE, SIDE, 3))
    sharp = keras.layers.Resizing(SIDE, SIDE, interpolation="lanczos3", name="size_1")  # a scope: size_1_1
    head = keras.Sequential([image, keras.layers.Resizing(8, 8, name="size"), sharp], name="head")
    odd = keras.layers.Resizing(8, 8, interpolation="lanczos5", name="odd one")(head(image))
    made = {
        "names": keras.Model(image, keras.layers.Dense(3, name="_last layer")(mean), name="_my model"),
        "lstm": keras.Model(image, keras.layers.LSTM(4)(rows)),
        "gru": keras.Model(image, keras.layers.Bidirectional(keras.layers.GRU(4), name="both")(rows)),
        "stateful": keras.Model(single, keras.layers.GRU(4, stateful=True, name="memory")(single[..., 0])),
        "nested": keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(odd)), name="_my model"),
        "function": keras.Model(image, keras.ops.fft((image[..., 0], image[..., 1]))[0]),
    }
    np.save(Path(folder) / "probes.npy", np.random.default_rng(0).random((2, SIDE, SIDE, 3), np.float32))
    outcomes = {}
    for name, model in made.items():
        model.save(Path(folder) / f"{name}.keras")
        for convert in (keras_graph.to_tflite, keras_graph.to_onnx):
            target = Path(folder) / f"{name}.{convert.__name__[3:]}"
            try:
                convert(
                    str(Path(folder) / f"{name}.keras"),
                    str(target),
                    str(Path(folder) / "probes.npy"),
                    str(Path(folder) / f"{target.name}.npy"),
                    False,
                )
                outcomes[target.name] = "converted"
            except ConversionError as error:
                outcomes[target.name] = error.message
    return outcomes
