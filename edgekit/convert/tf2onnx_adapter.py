"""tf2onnx, with the one private part that edgekit replaces.

tf2onnx's own optimizer needs several times the memory of the model (measured: 11.6 GB for VGG16). It is left out, and
onnxslim does the work afterwards; ONNX Runtime removes the remaining transposes when it loads the graph.
`tests/convert/test_tf2onnx_adapter.py` is the contract: it fails first when tf2onnx changes.
"""

from __future__ import annotations

from typing import Any

from edgekit.core.errors import MissingExtraError


def graph_to_onnx(graph_def: Any, input_name: str, output_name: str, opset: int) -> Any:
    """An ONNX ModelProto for a frozen TensorFlow GraphDef.

    Raises:
        MissingExtraError: tf2onnx or onnxslim is not installed.
    """
    try:
        import onnxslim
        import tf2onnx
        import tf2onnx.optimizer
    except ImportError as error:
        raise MissingExtraError("Converting Keras to ONNX", "onnx", error.name or "") from error

    tf2onnx.optimizer.optimize_graph = lambda graph, *_, **__: graph
    proto, _ = tf2onnx.convert.from_graph_def(
        graph_def, input_names=[input_name], output_names=[output_name], opset=opset
    )
    return onnxslim.slim(proto)
