"""What `anatomy` finds in small real models, checked by hand."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import anatomy as anatomy_package
from edgekit.core.anatomy import Anatomy, Tensor, Weight, WeightKind, anatomy
from edgekit.core.anatomy.read import read
from edgekit.core.anatomy.result import from_json
from edgekit.core.errors import ModelFileError

# One network in all three formats: 8×8×3 → convolution 3×3, stride 2, 4 channels → depthwise 3×3 → dense, 5 labels.
CONVOLUTION_MACS = 4 * 4 * 4 * 3 * 3 * 3
DEPTHWISE_MACS = 4 * 4 * 4 * 3 * 3
DENSE_MACS = 5 * 64
MACS = CONVOLUTION_MACS + DEPTHWISE_MACS + DENSE_MACS
OUTSIDE = 16384  # where weights outside of the flatbuffer begin
PARAMETERS = (3 * 3 * 3 * 4 + 4) + (3 * 3 * 4 + 4) + (64 * 5 + 5)


def write_tflite(path: Path, *, weights_outside: bool = False, damage: Callable[[Any], None] | None = None) -> Path:
    """The network as an integer model, built with TFLite's schema; `damage` gets it before it is packed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, model.operatorCodes = [], [], []
    model.subgraphs = [graph]

    def tensor(name: str, shape: list[int], kind: int, scales: list[float], data: Any = None) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.type, one.buffer = name, shape, kind, 0
        if scales:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale, one.quantization.zeroPoint = scales, [3 if data is None else 0] * len(scales)
            one.quantization.quantizedDimension = len(shape) - 1 if name == "depthwise" else 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            one.buffer = len(model.buffers) - 1
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], output: int, kind: int, options: Any) -> None:
        opcode = schema.OperatorCodeT()
        opcode.builtinCode = opcode.deprecatedBuiltinCode = code
        opcode.version = 1 if code == codes.RESHAPE else 3
        model.operatorCodes.append(opcode)
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = len(model.operatorCodes) - 1, inputs, [output]
        one.builtinOptionsType, one.builtinOptions = kind, options
        graph.operators.append(one)

    types, codes, unions = schema.TensorType, schema.BuiltinOperator, schema.BuiltinOptions
    image = tensor("image", [1, 8, 8, 3], types.INT8, [0.5])
    graph.tensors[image].shapeSignature = [-1, 8, 8, 3]
    first = tensor("first", [1, 4, 4, 4], types.INT8, [0.5])
    second = tensor("second", [1, 4, 4, 4], types.INT8, [0.5])
    flat = tensor("flat", [1, 64], types.INT8, [0.5])
    scores = tensor("scores\x1b[31m", [1, 5], types.INT8, [0.25])
    filters = tensor("filters", [4, 3, 3, 3], types.INT8, [0.1] * 4, np.ones(108, np.int8))
    bias = tensor("bias", [4], types.INT32, [0.05] * 4, np.ones(4, np.int32))
    depthwise = tensor("depthwise", [1, 3, 3, 4], types.INT8, [0.1] * 4, np.ones(36, np.int8))
    matrix = tensor("matrix", [5, 64], types.INT8, [0.1], np.ones(320, np.int8))
    offsets = tensor("offsets", [5], types.INT32, [0.05], np.ones(5, np.int32))
    shape = tensor("new_shape", [2], types.INT32, [], np.array([1, 64], np.int32))

    convolution = schema.Conv2DOptionsT()
    convolution.strideH = convolution.strideW = 2
    convolution.dilationHFactor = convolution.dilationWFactor = 1
    grouped = schema.DepthwiseConv2DOptionsT()
    grouped.strideH = grouped.strideW = grouped.depthMultiplier = 1
    grouped.dilationHFactor = grouped.dilationWFactor = 1
    operator(codes.CONV_2D, [image, filters, bias], first, unions.Conv2DOptions, convolution)
    operator(codes.DEPTHWISE_CONV_2D, [first, depthwise, bias], second, unions.DepthwiseConv2DOptions, grouped)
    operator(codes.RESHAPE, [second, shape], flat, unions.ReshapeOptions, schema.ReshapeOptionsT())
    operator(codes.FULLY_CONNECTED, [flat, matrix, offsets], scores, unions.FullyConnectedOptions,
             schema.FullyConnectedOptionsT())
    graph.inputs, graph.outputs = [image], [scores]
    if damage:
        damage(model)

    appended = b""
    if weights_outside:  # as writers of large models do
        for buffer in model.buffers[1:]:
            buffer.offset, buffer.size = OUTSIDE + len(appended), len(buffer.data)
            appended += bytes(buffer.data)
            buffer.data = None
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    path.write_bytes(content.ljust(OUTSIDE, b"\0") + appended if weights_outside else content)
    return path


def write_onnx(path: Path, *, batch: str | int = "batch", quantized: bool = False) -> Path:
    """The network for ONNX: float, or with its dense layer's weights quantized per channel."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, array: Any) -> Any:
        return numpy_helper.from_array(array, name)

    constants = [constant("filters", np.ones((4, 3, 3, 3), np.float32)), constant("bias", np.ones(4, np.float32)),
                 constant("depthwise", np.ones((4, 1, 3, 3), np.float32)), constant("bias2", np.ones(4, np.float32)),
                 constant("new_shape", np.array([-1, 64])), constant("offsets", np.ones(5, np.float32))]
    nodes = [helper.make_node("Conv", ["image", "filters", "bias"], ["first"], strides=[2, 2], pads=[0, 0, 1, 1]),
             helper.make_node("Conv", ["first", "depthwise", "bias2"], ["second"], group=4, pads=[1, 1, 1, 1]),
             helper.make_node("Reshape", ["second", "new_shape"], ["flat"])]
    if quantized:
        constants += [constant("matrix", np.ones((5, 64), np.int8)), constant("scales", np.ones(5, np.float32)),
                      constant("zeros", np.zeros(5, np.int8))]
        nodes += [helper.make_node("DequantizeLinear", ["matrix", "scales", "zeros"], ["real"], axis=0),
                  helper.make_node("Gemm", ["flat", "real", "offsets"], ["scores"], transB=1)]
    else:
        constants.append(constant("matrix", np.ones((64, 5), np.float32)))
        nodes += [helper.make_node("MatMul", ["flat", "matrix"], ["product"]),
                  helper.make_node("Add", ["product", "offsets"], ["scores"])]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5])
    graph = helper.make_graph(nodes, "net", [image], [scores], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


_KERAS_NETWORK = """
import keras
image = keras.Input((8, 8, 3), name="image")
x = keras.layers.RandomFlip()(image)
x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="filters")(x)
inner = keras.Sequential([keras.Input((4, 4, 4)), keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")])
x = keras.layers.Flatten()(inner(x))
x = keras.layers.Dropout(0.5)(x)
model = keras.Model(image, keras.layers.Dense(5, name="matrix")(x))
model.compile("adam", "mse")
model.optimizer.build(model.trainable_variables)
import sys
model.save(sys.argv[1])
"""


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anatomy") / "net.keras"
    subprocess.run([sys.executable, "-c", _KERAS_NETWORK, str(path)], check=True, capture_output=True)
    return path


def taken(path: Path) -> Anatomy:
    found = anatomy(path)
    assert from_json(json.loads(json.dumps(dataclasses.asdict(found)))) == found
    assert found.file_bytes == path.stat().st_size
    return found


def test_tflite(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "net.tflite")
    found = taken(path)
    assert found.format == "tflite"
    assert found.inputs == (Tensor("image", "int8", (None, 8, 8, 3), 0.5, 3),)
    assert found.outputs == (Tensor("scores\N{REPLACEMENT CHARACTER}[31m", "int8", (1, 5), 0.25, 3),)
    assert found.operators == (("CONV_2D", 1), ("DEPTHWISE_CONV_2D", 1), ("FULLY_CONNECTED", 1), ("RESHAPE", 1))
    assert found.macs == MACS
    assert found.parameters == PARAMETERS - 4  # both convolutions share one bias
    assert found.weights == (
        Weight("matrix", "FULLY_CONNECTED", "int8", (5, 64), 320, "per-tensor"),
        Weight("filters", "CONV_2D", "int8", (4, 3, 3, 3), 108, "per-channel"),
        Weight("depthwise", "DEPTHWISE_CONV_2D", "int8", (1, 3, 3, 4), 36, "per-channel"),
        Weight("offsets", "FULLY_CONNECTED", "int32", (5,), 20, "per-tensor"),
        Weight("bias", "CONV_2D", "int32", (4,), 16, "per-channel"),
    )
    assert found.weight_kinds == (
        WeightKind("int8", "per-tensor", 1, 320, 320), WeightKind("int8", "per-channel", 2, 144, 144),
        WeightKind("int32", "per-tensor", 1, 5, 20), WeightKind("int32", "per-channel", 1, 4, 16),
    )


def test_the_tflite_of_this_test_is_a_model_that_runs(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(write_tflite(tmp_path / "net.tflite")))
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.ones((1, 8, 8, 3), np.int8))
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).shape == (1, 5)


def test_tflite_with_weights_after_the_flatbuffer(tmp_path: Path) -> None:
    inside = taken(write_tflite(tmp_path / "a.tflite"))
    outside = taken(write_tflite(tmp_path / "b.tflite", weights_outside=True))
    assert outside.weights == inside.weights
    assert outside.macs == inside.macs
    content = (tmp_path / "b.tflite").read_bytes()
    (tmp_path / "b.tflite").write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match="weights lie beyond its end"):
        anatomy(tmp_path / "b.tflite")


def test_tflite_with_a_fixed_batch_counts_one_image(tmp_path: Path) -> None:
    def batch_of_four(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors[:5]:
            tensor.shape = [4, *tensor.shape[1:]]
            tensor.shapeSignature = None

    found = taken(write_tflite(tmp_path / "net.tflite", damage=batch_of_four))
    assert found.inputs[0].shape == (4, 8, 8, 3)
    assert found.macs == MACS


def test_tflite_with_one_buffer_for_two_tensors_counts_it_once(tmp_path: Path) -> None:
    def share(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        again = copy.copy(tensors[8])
        again.name = "again"
        tensors.append(again)

    found = taken(write_tflite(tmp_path / "net.tflite", damage=share))
    assert found.weights == taken(write_tflite(tmp_path / "plain.tflite")).weights


def test_tflite_transposed_convolution(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def transpose(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE_CONV
        model.subgraphs[0].operators[0].inputs = [10, 5, 0]  # shape, weights, data

    found = taken(write_tflite(tmp_path / "net.tflite", damage=transpose))
    assert found.macs == 8 * 8 * 3 * (4 * 3 * 3) + DEPTHWISE_MACS + DENSE_MACS


@pytest.mark.parametrize(("adjoint", "summed"), [(False, 64), (True, 5)])
def test_tflite_matrix_product(tmp_path: Path, adjoint: bool, summed: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def multiply(model: Any) -> None:
        code = model.operatorCodes[3]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.BATCH_MATMUL
        operator = model.subgraphs[0].operators[3]
        operator.inputs = [8, 3]  # the matrix, 5×64, from the left
        operator.builtinOptionsType = schema.BuiltinOptions.BatchMatMulOptions
        operator.builtinOptions = schema.BatchMatMulOptionsT()
        operator.builtinOptions.adjX = adjoint

    found = taken(write_tflite(tmp_path / "net.tflite", damage=multiply))
    assert found.macs == CONVOLUTION_MACS + DEPTHWISE_MACS + 5 * summed


def test_tflite_lstm(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def recur(model: Any) -> None:
        code = model.operatorCodes[3]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
        graph = model.subgraphs[0]
        sizes = [[1, 7, 6], *[[5, 6]] * 4, *[[5, 5]] * 4]  # the data, then the weights of the input and of the state
        for number, size in enumerate(sizes):
            one = schema.TensorT()
            one.name, one.shape, one.type, one.buffer = f"lstm{number}".encode(), size, schema.TensorType.INT8, 0
            graph.tensors.append(one)
        first = len(graph.tensors) - len(sizes)
        weights = [*range(first + 2, first + len(sizes))]
        graph.operators[3].inputs = [first, -1, *weights]  # without an input gate of its own

    found = taken(write_tflite(tmp_path / "net.tflite", damage=recur))
    assert found.macs == CONVOLUTION_MACS + DEPTHWISE_MACS + 7 * (3 * 5 * 6 + 4 * 5 * 5)


def test_tflite_with_an_open_size_has_no_macs(tmp_path: Path) -> None:
    def open_height(model: Any) -> None:
        model.subgraphs[0].tensors[0].shapeSignature = [1, -1, 8, 3]

    found = taken(write_tflite(tmp_path / "net.tflite", damage=open_height))
    assert found.inputs[0].shape == (1, None, 8, 3)
    assert found.macs is None


def test_tflite_with_float16_weights_names_the_operator_behind_dequantize(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def float16(model: Any) -> None:
        graph = model.subgraphs[0]
        for tensor in graph.tensors:
            tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
        matrix = graph.tensors[8]
        half = schema.TensorT()
        half.name, half.shape, half.type, half.buffer = b"half", matrix.shape, schema.TensorType.FLOAT16, matrix.buffer
        matrix.buffer = 0
        graph.tensors.append(half)
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 4, [len(graph.tensors) - 1], [8]
        graph.operators.insert(0, operator)

    found = taken(write_tflite(tmp_path / "net.tflite", damage=float16))
    assert found.macs == MACS
    assert ("DEQUANTIZE", 1) in found.operators
    assert Weight("half", "FULLY_CONNECTED", "float16", (5, 64), 320) in found.weights


def test_tflite_with_a_custom_operator(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def custom(model: Any) -> None:
        code = model.operatorCodes[2]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "my\x07op"

    found = taken(write_tflite(tmp_path / "net.tflite", damage=custom))
    assert ("custom:my\N{REPLACEMENT CHARACTER}op", 1) in found.operators
    assert found.macs == MACS


@pytest.mark.parametrize(("where", "value"), [("buffer", 999), ("input", 999), ("opcode", 99), ("output", 77)])
def test_tflite_with_an_index_out_of_range(tmp_path: Path, where: str, value: int) -> None:
    def damage(model: Any) -> None:
        graph = model.subgraphs[0]
        if where == "buffer":
            graph.tensors[5].buffer = value
        elif where == "input":
            graph.operators[0].inputs = [0, value]
        elif where == "opcode":
            graph.operators[0].opcodeIndex = value
        else:
            graph.outputs = [value]

    with pytest.raises(ModelFileError, match=r"net\.tflite is a damaged \.tflite file"):
        anatomy(write_tflite(tmp_path / "net.tflite", damage=damage))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_onnx(tmp_path: Path, batch: str | int) -> None:
    found = taken(write_onnx(tmp_path / "net.onnx", batch=batch))
    size = batch if isinstance(batch, int) else None
    assert found.format == "onnx"
    assert found.inputs == (Tensor("image", "float32", (size, 3, 8, 8)),)
    assert found.outputs == (Tensor("scores", "float32", (size, 5)),)
    assert found.operators == (("Conv", 2), ("Add", 1), ("MatMul", 1), ("Reshape", 1))
    assert found.macs == MACS
    assert found.parameters == PARAMETERS
    assert found.weights[:3] == (
        Weight("matrix", "MatMul", "float32", (64, 5), 1280), Weight("filters", "Conv", "float32", (4, 3, 3, 3), 432),
        Weight("depthwise", "Conv", "float32", (4, 1, 3, 3), 144))
    assert found.weight_kinds == (WeightKind("float32", "", 6, PARAMETERS, 4 * PARAMETERS),)


def test_onnx_quantized(tmp_path: Path) -> None:
    found = taken(write_onnx(tmp_path / "net.onnx", quantized=True))
    assert found.macs == MACS
    assert found.parameters == PARAMETERS  # neither scales nor zero points
    assert Weight("matrix", "Gemm", "int8", (5, 64), 320, "per-channel") in found.weights
    assert WeightKind("int8", "per-channel", 1, 320, 320) in found.weight_kinds


def test_onnx_transposed_convolution_and_transposed_matrix(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(np.ones((4, 2, 3, 3), np.float32), "filters"),
                 numpy_helper.from_array(np.ones((7, 6), np.float32), "matrix")]
    nodes = [helper.make_node("ConvTranspose", ["image", "filters"], ["large"]),
             helper.make_node("Gemm", ["rows", "matrix"], ["product"], transA=1)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in (("image", [1, 4, 5, 5]), ("rows", [7, 3]), ("large", None), ("product", None))]
    graph = helper.make_graph(nodes, "net", values[:2], values[2:], constants)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    assert taken(path).macs == (4 * 5 * 5) * (2 * 3 * 3) + (3 * 6) * 7


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_onnx_recurrent(tmp_path: Path, kind: str, gates: int) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(np.ones((1, gates * 5, 6), np.float32), "weights"),
                 numpy_helper.from_array(np.ones((1, gates * 5, 5), np.float32), "recurrent")]
    node = helper.make_node(kind, ["rows", "weights", "recurrent"], ["states"], hidden_size=5, layout=1)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in (("rows", [1, 7, 6]), ("states", None))]
    graph = helper.make_graph([node], "net", values[:1], values[1:], constants)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    assert taken(path).macs == 7 * gates * 5 * (6 + 5)


def test_onnx_of_unknown_image_size_has_no_macs(tmp_path: Path) -> None:
    import onnx

    path = write_onnx(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, str(path))
    found = taken(path)
    assert found.inputs[0].shape == (None, 3, None, 8)
    assert found.macs is None


def test_keras(keras_file: Path) -> None:
    found = taken(keras_file)
    assert found.format == "keras"
    assert found.inputs == (Tensor("image", "float32", (None, 8, 8, 3)),)
    assert found.operators == (("InputLayer", 2), ("Conv2D", 1), ("Dense", 1), ("DepthwiseConv2D", 1), ("Dropout", 1),
                               ("Flatten", 1), ("RandomFlip", 1))
    assert found.parameters == PARAMETERS
    assert found.macs is None
    assert found.weights == (
        Weight("matrix/0", "Dense", "float32", (64, 5), 1280),
        Weight("filters/0", "Conv2D", "float32", (3, 3, 3, 4), 432),
        Weight("depthwise/0", "DepthwiseConv2D", "float32", (3, 3, 4, 1), 144),
        Weight("matrix/1", "Dense", "float32", (5,), 20),
        Weight("filters/1", "Conv2D", "float32", (4,), 16),
        Weight("depthwise/1", "DepthwiseConv2D", "float32", (4,), 16),
    )


def test_the_state_of_random_layers_is_no_weight(tmp_path: Path, keras_file: Path) -> None:
    """Some versions of Keras save it beside the weights."""
    import h5py

    path = tmp_path / "seeds.keras"
    with zipfile.ZipFile(keras_file) as old, zipfile.ZipFile(path, "w") as new:
        stream = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(stream, "a") as file:
            file["layers/dropout/seed_generator/vars/0"] = np.array([1, 2], np.uint32)
        for name in old.namelist():
            new.writestr(name, stream.getvalue() if name == "model.weights.h5" else old.read(name))
    assert taken(path).weights == taken(keras_file).weights


@pytest.mark.parametrize(("member", "content"), [
    ("config.json", b"{"), ("config.json", b"[]"), ("config.json", b'{"config": {"layers": [1]}}'),
    ("config.json", b"[" * 100_000), ("model.weights.h5", b"nonsense"), ("model.weights.h5", b""),
])
def test_damaged_members_of_a_keras_file(tmp_path: Path, keras_file: Path, member: str, content: bytes) -> None:
    path = tmp_path / "bad.keras"
    with zipfile.ZipFile(keras_file) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, content if name == member else good.read(name))
    with pytest.raises(ModelFileError, match=r"bad\.keras is a damaged \.keras file"):
        anatomy(path)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_mutated_files_give_a_model_file_error_or_an_answer(tmp_path: Path, kind: str) -> None:
    good = (write_tflite if kind == "tflite" else write_onnx)(tmp_path / f"good.{kind}").read_bytes()
    randomness = random.Random(7)
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        for _ in range(randomness.choice((1, 2, 8))):
            content[randomness.randrange(len(content))] = randomness.choice((0, 127, 128, 255))
        if randomness.random() < 0.1:
            content = content[: randomness.randrange(len(content))]
        path = tmp_path / f"bad.{kind}"
        path.write_bytes(content)
        try:
            read(path)
        except ModelFileError:
            refused += 1
    assert refused > 50


def test_a_reader_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy_package, "TIME_LIMIT", 0.01)
    with pytest.raises(ModelFileError, match=r"net\.onnx is damaged: its reader crashed or ran out of time") as caught:
        anatomy(write_onnx(tmp_path / "net.onnx"))
    assert caught.value.exit_code == 2


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.tflite").write_text("not a model")
    with pytest.raises(ModelFileError, match=r"no \.tflite, \.onnx or \.keras file") as caught:
        anatomy(tmp_path / "notes.tflite")
    assert "edgekit import" in caught.value.hint
    with pytest.raises(ModelFileError, match="does not exist"):
        anatomy(tmp_path / "nothing.onnx")
