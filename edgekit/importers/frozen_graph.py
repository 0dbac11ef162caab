"""A TensorFlow graph with its weights as constants, as one Keras layer.

That is what a SavedModel becomes in a `.keras` file, and a model with layers that are not Keras' own.
The layer keeps the serialized GraphDef in the archive's weights (as bytes, uint8 [N]), so that the file is complete in
itself. It computes and cannot be trained. Each time it is loaded, the graph is scanned again with the operator rules of
`edgekit.importers.saved_model_scan`. These functions run in a child process: they import TensorFlow.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.importers import saved_model_scan
from edgekit.runtime.spec import printable

_ENTRY = "graph_def"
# Operators that hand on their first input as it is, apart from its shape.
_HANDS_ON = frozenset({"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "Snapshot"})
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax", "Relu": "relu",
                "Relu6": "relu6", "Tanh": "tanh", "MatMul": "linear", "BiasAdd": "linear"}


@functools.cache
def layer_class() -> type[Any]:
    """The Keras layer `FrozenGraph`; the first call registers it as `edgekit>FrozenGraph`.

    Its constructor takes the names of the graph's input and output tensors, the output's shape (None for an open
    dimension) and dtype, and the serialized GraphDef; the latter is left out when Keras builds the layer from
    a file and hands over the weights afterwards.
    """
    import tensorflow as tf  # before Keras

    # isort: split
    import keras

    @keras.saving.register_keras_serializable(package="edgekit")
    class FrozenGraph(keras.layers.Layer):  # type: ignore[misc, unused-ignore]
        def __init__(self, input_name: str, output_name: str, output_shape: list[int | None], output_dtype: str,
                     graph_def: bytes | None = None, **options: Any) -> None:
            super().__init__(**{**options, "trainable": False, "autocast": False})
            self._settings: dict[str, Any] = {"input_name": input_name, "output_name": output_name,
                                              "output_shape": list(output_shape), "output_dtype": output_dtype}
            self._content = b""
            self._function: Any = None
            if graph_def is not None:
                self._use(graph_def)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), **self._settings}

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(self._settings["output_shape"], dtype=self._settings["output_dtype"])

        def call(self, x: Any) -> Any:
            return self._function(x)

        def last_activation(self) -> str:
            """The activation that the graph ends with, or "unknown"."""
            nodes = {node.name: node for node in self._graph_def().node}
            node = nodes.get(self._settings["output_name"].partition(":")[0])
            while node is not None and node.op in _HANDS_ON and node.input:
                node = nodes.get(node.input[0].partition(":")[0])
            return _ACTIVATIONS.get(node.op, "unknown") if node is not None else "unknown"

        def save_own_variables(self, store: Any) -> None:
            store[_ENTRY] = np.frombuffer(self._content, np.uint8)

        def load_own_variables(self, store: Any) -> None:
            self._use(np.asarray(store[_ENTRY], np.uint8).tobytes())

        def _graph_def(self) -> Any:
            graph_def = tf.compat.v1.GraphDef()
            graph_def.ParseFromString(self._content)
            return graph_def

        def _use(self, content: bytes) -> None:
            saved_model_scan.scan_graph(content, f"the layer {printable(self.name)!r}")
            self._content = content
            self._function = _import(self._graph_def(), self._settings)

    found: type[Any] = FrozenGraph
    return found


def as_model(frozen: Any, shape: list[int | None], dtype: str, input_name: str, name: str) -> Any:
    """A functional Keras model of one `FrozenGraph` layer.

    Args:
        frozen: a concrete function with constants for variables, of one input and one output.
        shape: of the input, the batch included.
        input_name: what the model's input is to be called.
        name: what the model is to be called.
    """
    import keras

    image = keras.Input(batch_shape=shape, dtype=dtype, name=input_name)
    result = frozen.outputs[0]
    layer = layer_class()(frozen.inputs[0].name, result.name, result.shape.as_list(), result.dtype.name,
                          frozen.graph.as_graph_def().SerializeToString(), name="frozen_graph")
    return keras.Model(image, layer(image), name=name)


def freeze(model: Any, name: str) -> Any:
    """A model of Keras or tf-keras as one `FrozenGraph` layer: it answers the same, without the code of its layers.

    Args:
        name: how messages call the model's file.

    Raises:
        ImportRefused: it has several inputs or outputs, or an operator that may not be in a model file (see
            `edgekit.importers.saved_model_scan`).
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ImportRefused(f"{name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs;"
                            " edgekit takes models of one image and one output.")
    shape, dtype = list(model.inputs[0].shape), tf.as_dtype(model.inputs[0].dtype).name
    function = tf.function(lambda image: model(image, training=False),
                           input_signature=[tf.TensorSpec(shape, dtype, name="image")])
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)
    saved_model_scan.scan_graph(frozen.graph.as_graph_def().SerializeToString(), name)
    if len(frozen.inputs) != 1 or frozen.outputs[0].shape.rank is None:
        raise ImportRefused(f"{name} needs state besides its weights, or does not say the shape of its output.",
                            "Build it of layers that compute their output from their input and their weights alone.")
    return as_model(frozen, shape, dtype, "image", "frozen")


def _import(graph_def: Any, settings: dict[str, Any]) -> Any:
    """A function from one tensor to one tensor."""
    import tensorflow as tf

    try:
        imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
        source, result = (imported.graph.as_graph_element(settings[key]) for key in ("input_name", "output_name"))
        if result.shape.rank is not None and result.shape.as_list() != settings["output_shape"]:
            raise ValueError(f"its output has the shape {result.shape}")
        return imported.prune(source, result)
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFileError(f"The frozen graph cannot be used: {printable(lines[0])[:200]}.") from error
