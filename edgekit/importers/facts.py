"""What a foreign model file itself says about how it is fed. What it does not say is None."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.core.anatomy import anatomy
from edgekit.core.errors import ImportRefused, MissingExtraError, ModelFileError
from edgekit.core.tflite_metadata import ENTRY, read_normalisation
from edgekit.runtime import modelfile
from edgekit.runtime.interpreters import Interpreter, TensorInfo, open_interpreter
from edgekit.runtime.spec import Quantization, printable

OF_BYTES = 20  # a mean or std of at least this is one of bytes; smaller ones are of pixels that were scaled before
MAX_LABEL_MEMBER = 16 << 20
CHANNELS = (1, 3)


@dataclass(frozen=True)
class Facts:
    """Input, output and whatever else the file tells.

    `scores` is their number. `exact` says that mean, std and activation are those of the model's own layers, and not
    what somebody wrote beside them or what its last operator suggests. `quantized`: some of its weights are integers.
    """

    input_name: str
    height: int | None
    width: int | None
    channels: int
    layout: str
    dtype: str
    quantization: Quantization | None
    output_name: str
    output_dtype: str
    output_quantization: Quantization | None
    scores: int
    activation: str | None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    exact: bool = False
    quantized: bool = False


def of_keras(path: Path, description: dict[str, Any]) -> Facts:
    """The facts of a Keras model, from `edgekit.importers.keras_inspect.describe`.

    Raises:
        ImportRefused: it is no classifier of one image.
    """
    name = printable(path.name)
    for what in ("inputs", "outputs"):
        if len(description[what]) != 1:
            raise ImportRefused(
                f"{name} has {len(description[what])} {what}; edgekit takes models of one image and one output."
            )
    source, result = description["inputs"][0], description["outputs"][0]
    if source["dtype"] != "float32":
        raise ImportRefused(f"{name} takes {source['dtype']}; edgekit imports Keras models that take float32.")
    height, width, channels, layout = _image_shape(name, source["shape"])
    if layout != "NHWC":
        raise ImportRefused(
            f"{name} wants the channels first; TFLite and TensorFlow on a CPU want them last.",
            "Rebuild it with data_format='channels_last'.",
        )
    scores = result["shape"][-1]
    if scores is None or any(side not in (None, 1) for side in result["shape"][1:-1]):
        raise ImportRefused(f"{name} gives an output of shape {tuple(result['shape'])}, which is not a list of scores.")
    activation = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": "logits"}.get(description["activation"])
    normalises = description["normalization"]
    takes_bytes = normalises is not None and max(*normalises["mean"], *normalises["std"]) >= OF_BYTES
    return Facts(
        "image",
        height,
        width,
        channels,
        layout,
        "float32",
        None,
        "scores",
        "float32",
        None,
        int(scores),
        activation,
        (0.0,) * channels if takes_bytes else None,
        (1.0,) * channels if takes_bytes else None,
        exact=True,
    )


def of_tflite(path: Path) -> Facts:
    """The facts of a `.tflite` file, with those of its standard metadata.

    Raises:
        EdgekitError: it is damaged, or no classifier of one image.
    """
    model = open_interpreter(path)
    with modelfile.mapped(path) as data:
        content = bytes(data)
        metadata = modelfile.tflite_metadata(data, path.name).get(ENTRY)
    normalisation = read_normalisation(metadata) if metadata else None
    facts = _facts(path, model, model.output, _tflite_activation(content))
    if facts.mean is None and normalisation is not None:
        mean, std = (values * facts.channels if len(values) == 1 else values for values in normalisation)
        facts = replace(facts, mean=mean, std=std)
    quantized = any(weight.quantization for weight in anatomy(path).weights)
    return replace(facts, labels=_tflite_labels(path), quantized=quantized)


def of_onnx(path: Path) -> Facts:
    """The facts of an `.onnx` file.

    Raises:
        EdgekitError: it is damaged, or no classifier of one image.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Importing an ONNX file", "onnx", "onnx") from error
    model = open_interpreter(path)
    graph = onnx.load(str(path), load_external_data=False).graph
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(model.output.name)
    while node is not None and node.op_type in (
        "DequantizeLinear",
        "QuantizeLinear",
        "Reshape",
        "Flatten",
        "Cast",
        "Identity",
        "Squeeze",
    ):
        node = makers.get(node.input[0])
    kind = node.op_type if node is not None else ""
    activation = {
        "Softmax": "softmax",
        "Sigmoid": "sigmoid",
        "Gemm": "logits",
        "MatMul": "logits",
        "Add": "logits",
    }.get(kind)
    return _facts(path, model, model.output, activation)


def _facts(path: Path, model: Interpreter, output: TensorInfo, activation: str | None) -> Facts:
    name = printable(path.name)
    height, width, channels, layout = _image_shape(name, list(model.input.shape))
    if model.input.dtype not in ("float32", "uint8", "int8"):
        raise ImportRefused(f"{name} takes {model.input.dtype}; edgekit feeds float32, uint8 and int8.")
    quantization = model.input.quantization
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    if model.input.dtype != "float32":
        # A quantized image input takes the pixel's byte as it is: so it is trained, and so every sample app feeds it.
        zero = 0 if model.input.dtype == "uint8" else -128
        quantization = quantization or Quantization(1.0, zero)
        mean, std = (float(quantization.zero_point - zero),) * channels, (1 / quantization.scale,) * channels
    scores = output.shape[-1] if len(output.shape) > 1 else None
    if scores is None or any(side not in (None, 1) for side in output.shape[1:-1]):
        raise ImportRefused(f"{name} gives an output of shape {output.shape}, which is not a list of scores.")
    return Facts(
        model.input.name,
        height,
        width,
        channels,
        layout,
        model.input.dtype,
        quantization,
        output.name,
        output.dtype,
        output.quantization,
        scores,
        activation,
        mean,
        std,
    )


def _image_shape(name: str, shape: list[int | None]) -> tuple[int | None, int | None, int, str]:
    """Height, width, channels and layout of an input of this shape."""
    if len(shape) == 4:
        if shape[3] in CHANNELS:
            return shape[1], shape[2], int(shape[3] or 0), "NHWC"
        if shape[1] in CHANNELS:
            return shape[2], shape[3], int(shape[1] or 0), "NCHW"
    shown = "×".join("?" if side is None else str(side) for side in shape)
    raise ImportRefused(
        f"{name} takes an input of shape {shown}; edgekit feeds images: batch × height × width × 1 or 3 channels."
    )


def _tflite_activation(content: bytes) -> str | None:
    """What the operator that makes the output makes of it."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        graph, codes = model.subgraphs[0], schema.BuiltinOperator
        makers = {int(tensor): operator for operator in graph.operators for tensor in operator.outputs}
        operator = makers.get(int(graph.outputs[0]))
        through = (codes.DEQUANTIZE, codes.QUANTIZE, codes.RESHAPE, codes.SQUEEZE)
        for code in model.operatorCodes:  # files from before schema version 3a have the old field only
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        while operator is not None and model.operatorCodes[operator.opcodeIndex].builtinCode in through:
            operator = makers.get(int(operator.inputs[0]))
        if operator is None:
            return None
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error
    return {
        codes.SOFTMAX: "softmax",
        codes.LOGISTIC: "sigmoid",
        codes.FULLY_CONNECTED: "logits",
        codes.CONV_2D: "logits",
        codes.ADD: "logits",
        codes.MEAN: "logits",
    }.get(kind)


def _tflite_labels(path: Path) -> tuple[str, ...] | None:
    """The labels in the ZIP archive that standard metadata appends: of its only .txt file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.filename.endswith(".txt")]
            if len(names) != 1 or names[0].file_size > MAX_LABEL_MEMBER:
                return None
            with archive.open(names[0]) as member:
                lines = member.read(MAX_LABEL_MEMBER).decode("utf-8-sig").splitlines()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return None
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    return labels or None
