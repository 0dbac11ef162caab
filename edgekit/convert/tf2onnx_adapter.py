"""tf2onnx, with the one private part that edgekit replaces.

tf2onnx's own optimizer needs several times the memory of the model (measured: 11.6 GB for VGG16). It is left out, and
onnxslim does the work afterwards; ONNX Runtime removes the remaining transposes when it loads the graph.
`tests/convert/test_tf2onnx_adapter.py` is the contract: it fails first when tf2onnx changes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from edgekit.core.errors import MissingExtraError


def require() -> None:
    """Raise MissingExtraError unless all that a conversion needs is installed."""
    for package in ("onnx", "onnxruntime", "onnxslim", "tf2onnx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Converting Keras to ONNX", "onnx", package)


def graph_to_onnx(graph_def: Any, input_name: str, output_name: str, opset: int) -> Any:
    """An ONNX ModelProto for a frozen TensorFlow GraphDef; an operator that ONNX does not have stays as it is."""
    import tf2onnx
    import tf2onnx.optimizer

    tf2onnx.optimizer.optimize_graph = lambda graph, *_, **__: graph
    proto, _ = tf2onnx.convert.from_graph_def(
        graph_def, input_names=[input_name], output_names=[output_name], opset=opset
    )
    return proto


def left_over(proto: Any) -> list[str]:
    """The operators in a ModelProto that are not ONNX's, those inside of branches and loops included."""
    import onnx

    foreign, graphs = set(), [proto.graph]
    while graphs:
        for node in graphs.pop().node:
            if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
                foreign.add(node.op_type)
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return sorted(foreign)


def has_loop(proto: Any) -> bool:
    """Whether a ModelProto has a loop at its top level."""
    return any(node.op_type in ("Loop", "Scan") for node in proto.graph.node)


def save(proto: Any, target: Path) -> None:
    """Slim the graph and write it; equal weights, as the steps of an unrolled layer have them, once."""
    import onnx
    import onnxslim

    slim = onnxslim.slim(proto)
    _share_weights(slim.graph)
    onnx.save(slim, str(target))


def _share_weights(graph: Any) -> None:
    first: dict[tuple[Any, ...], str] = {}
    same: dict[str, str] = {}
    for weight in list(graph.initializer):
        kept = first.setdefault((weight.data_type, tuple(weight.dims), weight.raw_data), weight.name)
        if weight.raw_data and kept != weight.name:
            same[weight.name] = kept
            graph.initializer.remove(weight)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
