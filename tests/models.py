"""Makes small real models, good and broken, without TensorFlow: an image of 8×8 pixels in, scores of colours out.

The network averages the channels and multiplies: the channel that is brightest wins, so every test knows the answer.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import embed
from edgekit.runtime.spec import InputSpec, ModelSpec, OutputSpec, Preprocess, Quantization

SIDE = 8
LABELS = ("red", "green", "blue")
WEIGHTS = np.asarray(np.eye(3) / 50, np.float32)  # [labels, channels]
OUTSIDE = 16384  # where weights outside of the flatbuffer begin

Damage = Callable[[Any], None]


def spec(dtype: str = "float32", labels: Sequence[str] = LABELS, **changes: Any) -> ModelSpec:
    """The spec of the models below; for uint8 the byte is the value."""
    quantization = Quantization(1.0, 0) if dtype == "uint8" else None
    made = ModelSpec(
        InputSpec("image", SIDE, SIDE, 3, dtype, quantization=quantization),
        Preprocess("bilinear-aa"),
        OutputSpec("scores", "softmax"),
        tuple(labels),
    )
    return dataclasses.replace(made, **changes)


def colour(red: int, green: int, blue: int, side: int = SIDE) -> NDArray[np.uint8]:
    """An image of one colour, uint8 [side, side, 3]."""
    return np.full((side, side, 3), (red, green, blue), np.uint8)


def expected(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the models answer to an image of the input's size, computed by numpy, float32 [labels]."""
    powers = np.exp(image.mean((0, 1)) @ WEIGHTS.T)
    return np.asarray(powers / powers.sum(), np.float32)


class TFLiteFile:
    """A `.tflite` model put together piece by piece with TFLite's own schema."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, b"made by hand"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "FLOAT32", data: NDArray[Any] | None = None) -> int:
        """Add a tensor, constant where it has data; gives its index."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        tensor.type = getattr(self.schema.TensorType, dtype)
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], options: str = "", **values: Any) -> None:
        """Add an operator; `options` names its table of options in the schema."""
        code, operator = self.schema.OperatorCodeT(), self.schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, kind)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in values.items():
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)

    def metadata(self, name: str, content: bytes) -> None:
        """Add a metadata entry with a buffer of its own."""
        entry, buffer = self.schema.MetadataT(), self.schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        entry.name, entry.buffer = name, len(self.model.buffers) - 1
        self.model.metadata = [*(self.model.metadata or []), entry]

    def content(self, inputs: list[int], outputs: list[int], *, weights_outside: bool = False) -> bytes:
        """The finished file; `weights_outside` puts all buffers after the flatbuffer, as writers of large models do."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = inputs, outputs
        appended = b""
        if weights_outside:
            for buffer in self.model.buffers[1:]:
                buffer.offset, buffer.size = OUTSIDE + len(appended), len(buffer.data)
                appended += bytes(buffer.data)
                buffer.data = None
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        content = bytes(builder.Output())
        return content.ljust(OUTSIDE, b"\0") + appended if weights_outside else content


def dense_in_8_bits(*, per_channel: bool) -> Damage:
    """Quantizes the weights of the network's dense layer alone: with a scale for each output, or one."""

    def change(file: TFLiteFile) -> None:
        weights = next(tensor for tensor in file.graph.tensors if tensor.name == "weights")
        buffer = file.model.buffers[weights.buffer]
        values = np.frombuffer(bytes(buffer.data), np.float32).reshape(weights.shape)
        scales = np.abs(values).max(1 if per_channel else None, keepdims=True) / 127
        buffer.data = np.frombuffer(np.round(values / scales).astype(np.int8).tobytes(), np.uint8)
        weights.type, weights.quantization = file.schema.TensorType.INT8, file.schema.QuantizationParametersT()
        weights.quantization.scale, weights.quantization.zeroPoint = scales.ravel().tolist(), [0] * scales.size

    return change


def tflite(
    path: Path,
    *,
    dtype: str = "float32",
    weights: NDArray[np.float32] = WEIGHTS,
    activation: str = "SOFTMAX",
    batch: int | None = None,
    weights_outside: bool = False,
    zip_trailer: bool = False,
    damage: Damage | None = None,
) -> Path:
    """Write the network as a `.tflite` file without a spec.

    Args:
        dtype: of the input: float32 or uint8 (cast to float32 in the graph).
        weights: float32 [scores, 3].
        activation: SOFTMAX, LOGISTIC or "" for logits.
        batch: how many images it takes at once; None leaves it open.
        weights_outside: all constants lie after the flatbuffer.
        zip_trailer: a ZIP with a labels.txt follows, as writers of TFLite Model Metadata append it.
        damage: gets the `TFLiteFile` before it is packed.
    """
    file, scores = TFLiteFile(), len(weights)
    first = batch or 1
    image = file.tensor("image", [first, SIDE, SIDE, 3], dtype.upper())
    pixels = image
    if dtype != "float32":
        pixels = file.tensor("pixels", [first, SIDE, SIDE, 3])
        file.operator("CAST", [image], [pixels], "CastOptions", inDataType=file.graph.tensors[image].type)
    axes = file.tensor("axes", [2], "INT32", np.array([1, 2], np.int32))
    matrix = file.tensor("weights", list(weights.shape), data=weights)
    bias = file.tensor("bias", [scores], data=np.zeros(scores, np.float32))
    means, logits = file.tensor("means", [first, 3]), file.tensor("logits", [first, scores])
    file.operator("MEAN", [pixels, axes], [means], "ReducerOptions")
    file.operator("FULLY_CONNECTED", [means, matrix, bias], [logits], "FullyConnectedOptions")
    result = logits
    if activation:
        result = file.tensor("scores", [first, scores])
        if activation == "SOFTMAX":
            file.operator("SOFTMAX", [logits], [result], "SoftmaxOptions", beta=1.0)
        else:
            file.operator(activation, [logits], [result])
    if batch is None:
        for index in {image, pixels, means, logits, result}:
            file.graph.tensors[index].shapeSignature = [-1, *file.graph.tensors[index].shape[1:]]
    file.metadata("min_runtime_version", b"1.14.0".ljust(16, b"\0"))
    if damage:
        damage(file)
    content = file.content([image], [result], weights_outside=weights_outside)
    if zip_trailer:
        stream = io.BytesIO(content)
        with zipfile.ZipFile(stream, "a") as archive:
            archive.writestr("labels.txt", "old\nlabels\nhere\n")
        content = stream.getvalue()
    path.write_bytes(content)
    return path


def onnx(
    path: Path,
    *,
    dtype: str = "float32",
    weights: NDArray[np.float32] = WEIGHTS,
    activation: str = "Softmax",
    batch: int | str = "batch",
    damage: Damage | None = None,
) -> Path:
    """Write the network as an `.onnx` file without a spec; arguments as for `tflite`. `damage` gets the ModelProto."""
    from onnx import TensorProto, helper, numpy_helper

    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node(activation or "Identity", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", types[dtype], [batch, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, len(weights)])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.ascontiguousarray(weights.T), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"author": "somebody"})
    if damage:
        damage(model)
    path.write_bytes(model.SerializeToString())
    return path


def keras(path: Path, extra: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write an archive that looks like a `.keras` file; Keras itself could not load it."""
    members = {"metadata.json": b"{}", "config.json": b'{"class_name": "Sequential"}', "model.weights.h5": b"\x89HDF"}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**members, **(extra or {})}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return path


def with_spec(path: Path, said: ModelSpec | None = None) -> Path:
    """Embed a spec into a file in place; gives the path."""
    embed.write_spec(path, said or spec(), path)
    return path


def fails_when_run(path: Path) -> Path:
    """Write a `.tflite` file that loads, and fails when it is run: it gathers weights at an index that is not there."""
    file = TFLiteFile()
    image = file.tensor("image", [1, SIDE, SIDE, 3])
    axes = file.tensor("axes", [2], "INT32", np.array([1, 2], np.int32))
    far = file.tensor("far", [1, 3], "INT32", np.full((1, 3), 1_000_000, np.int32))
    table = file.tensor("table", [3], data=np.ones(3, np.float32))
    means, scores = file.tensor("means", [1, 3]), file.tensor("scores", [1, 3])
    whole, indices = file.tensor("whole", [1, 3], "INT32"), file.tensor("indices", [1, 3], "INT32")
    types = file.schema.TensorType
    file.operator("MEAN", [image, axes], [means], "ReducerOptions")
    file.operator("CAST", [means], [whole], "CastOptions", inDataType=types.FLOAT32, outDataType=types.INT32)
    file.operator("ADD", [whole, far], [indices], "AddOptions")
    file.operator("GATHER", [table, indices], [scores], "GatherOptions")
    path.write_bytes(file.content([image], [scores]))
    return path


def carrying(path: Path, document: bytes) -> Path:
    """Write a `.tflite`, `.onnx` or `.keras` file, by its name, that carries `document` where its spec would be."""
    if path.suffix == ".tflite":
        return tflite(path, damage=lambda file: file.metadata("EDGEKIT_SPEC", document))
    if path.suffix == ".keras":
        return keras(path, {"edgekit.json": document})
    entry = protobuf_field(1, b"edgekit_spec") + protobuf_field(2, document)
    path.write_bytes(onnx(path).read_bytes() + protobuf_field(14, entry))  # ModelProto.metadata_props
    return path


def protobuf_field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    out, size = bytearray([number << 3 | 2]), len(content)
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(out) + bytes([size]) + content
