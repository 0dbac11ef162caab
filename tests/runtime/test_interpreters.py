"""One interface over the interpreters: batches, shapes, quantization, and files that do not work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.runtime.errors import ModelFileError, RuntimeMissingError, SpecError
from edgekit.runtime.interpreters import TensorInfo, open_interpreter
from edgekit.runtime.spec import Quantization
from tests import models

MAKERS: list[Callable[..., Path]] = [models.tflite, models.onnx]
SHAPE = (models.SIDE, models.SIDE, 3)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Seven images whose brightest channel differs, uint8 [7, 8, 8, 3]."""
    colours = np.random.default_rng(0).integers(0, 256, (7, 1, 1, 3), np.uint8)
    noise = np.random.default_rng(1).integers(0, 4, (7, *SHAPE), np.uint8)
    return np.asarray(np.maximum(colours, noise), np.uint8)


def expected(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.stack([models.expected(image) for image in images])


# --- what the file says


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [None, 1])
def test_inputs_and_outputs(tmp_path: Path, make: Callable[..., Path], dtype: str, batch: int | None) -> None:
    asked = {"batch": batch} if batch else {}
    interpreter = open_interpreter(make(tmp_path / "model", dtype=dtype, **asked))
    assert interpreter.input == TensorInfo("image", (batch, *SHAPE), dtype, None)
    assert interpreter.output == TensorInfo("scores", (batch, 3), "float32", None)
    assert interpreter.batched == (batch is None)


def quantized(path: Path) -> Path:
    """The network with quantized ends: int8 in, with scale 2 and zero point −3; uint8 out, with 1/256 and 0."""

    def damage(file: models.TFLiteFile) -> None:
        types = file.schema.TensorType
        for name, dtype, scale, zero_point in (("image", types.INT8, 2.0, -3), ("scores", types.UINT8, 1 / 256, 0)):
            [tensor] = [tensor for tensor in file.graph.tensors if tensor.name == name]
            [index] = [index for index, other in enumerate(file.graph.tensors) if other is tensor]
            real = file.tensor(f"{name}_real", tensor.shape)
            for operator in file.graph.operators:
                operator.inputs = [real if used == index else used for used in operator.inputs]
                operator.outputs = [real if made == index else made for made in operator.outputs]
            tensor.type = dtype
            tensor.quantization = file.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
            if name == "image":
                file.operator("DEQUANTIZE", [index], [real], "DequantizeOptions")
                file.graph.operators.insert(0, file.graph.operators.pop())
            else:
                file.operator("QUANTIZE", [real], [index], "QuantizeOptions")

    return models.tflite(path, batch=1, damage=damage)


def test_quantized_ends(tmp_path: Path) -> None:
    interpreter = open_interpreter(quantized(tmp_path / "model.tflite"))
    assert interpreter.input == TensorInfo("image", (1, *SHAPE), "int8", Quantization(2.0, -3))
    assert interpreter.output == TensorInfo("scores", (1, 3), "uint8", Quantization(1 / 256, 0))
    image = models.colour(200, 100, 50)
    answer = interpreter.run((image // 2).astype(np.int8)[None] - np.int8(3))
    assert answer.dtype == np.float32
    assert np.abs(answer[0] - models.expected(image)).max() <= 0.5 / 256 + 1e-6
    assert ((answer * 256) % 1 == 0).all()


# --- batches


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [None, 1])
def test_a_batch_of_any_size(
    tmp_path: Path, make: Callable[..., Path], dtype: str, batch: int | None, images: NDArray[np.uint8]
) -> None:
    asked = {"batch": batch} if batch else {}
    interpreter = open_interpreter(make(tmp_path / "model", dtype=dtype, **asked))
    for size in (1, 5, 7, 2, 1):
        answers = interpreter.run(images[:size].astype(dtype))
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, expected(images[:size]), atol=1e-5)


def open_sides(path: Path) -> Path:
    def damage(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors[:2]:
            if len(tensor.shape) == 4:
                tensor.shape, tensor.shapeSignature = [1, 1, 1, 3], [-1, -1, -1, 3]

    return models.tflite(path, damage=damage)


def open_sides_onnx(path: Path) -> Path:
    def damage(model: Any) -> None:
        dimensions = model.graph.input[0].type.tensor_type.shape.dim
        dimensions[1].dim_param, dimensions[2].dim_param = "height", "width"

    return models.onnx(path, damage=damage)


@pytest.mark.parametrize("make", [open_sides, open_sides_onnx])
def test_sides_that_the_file_leaves_open(
    tmp_path: Path, make: Callable[[Path], Path], images: NDArray[np.uint8]
) -> None:
    interpreter = open_interpreter(make(tmp_path / "model"))
    assert interpreter.input.shape == (None, None, None, 3)
    for side, size in ((8, 1), (8, 3), (5, 3), (5, 1), (8, 2)):
        given = images[:size, :side, :side]
        np.testing.assert_allclose(interpreter.run(given.astype(np.float32)), expected(given), atol=1e-5)
    with pytest.raises(ModelFileError, match="fails when run"):
        interpreter.run(np.zeros((1, 8, 8, 4), np.float32))
    np.testing.assert_allclose(interpreter.run(images.astype(np.float32)), expected(images), atol=1e-5)


def not_really_open(path: Path) -> Path:
    """A graph that says it takes any number of images, and reshapes to one inside."""

    def damage(file: models.TFLiteFile) -> None:
        [mean] = [
            operator for operator in file.graph.operators if operator.builtinOptions and len(operator.inputs) == 2
        ]
        reshaped = file.tensor("reshaped", [1, 3])
        shape = file.tensor("shape", [2], "INT32", np.array([1, 3], np.int32))
        means = mean.outputs[0]
        for operator in file.graph.operators:
            operator.inputs = [reshaped if used == means else used for used in operator.inputs]
        file.operator("RESHAPE", [means, shape], [reshaped], "ReshapeOptions")
        file.graph.operators.insert(1, file.graph.operators.pop())

    return models.tflite(path, damage=damage)


def test_a_batch_that_the_graph_only_claims_to_take(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    interpreter = open_interpreter(not_really_open(tmp_path / "model.tflite"))
    assert interpreter.batched
    for size in (5, 1, 3):
        answers = interpreter.run(images[:size].astype(np.float32))
        np.testing.assert_allclose(answers, expected(images[:size]), atol=1e-5)
    assert not interpreter.batched


@pytest.mark.parametrize("make", MAKERS)
def test_threads_change_nothing(tmp_path: Path, make: Callable[..., Path], images: NDArray[np.uint8]) -> None:
    one, two = (open_interpreter(make(tmp_path / "model"), threads) for threads in (1, 2))
    assert (one.run(images.astype(np.float32)) == two.run(images.astype(np.float32))).all()


def test_an_answer_is_not_overwritten_by_the_next(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    interpreter = open_interpreter(models.tflite(tmp_path / "model.tflite"))
    first = interpreter.run(images[:1].astype(np.float32))
    kept = first.copy()
    interpreter.run(images[1:2].astype(np.float32))
    assert (first == kept).all()


# --- files and inputs that do not work


def two_images(file: models.TFLiteFile) -> None:
    """Let a constant be fed from outside."""
    content = file.content

    def with_second_input(inputs: list[int], outputs: list[int], **options: Any) -> bytes:
        return content([*inputs, file.tensor("second", [1])], outputs, **options)

    file.content = with_second_input  # type: ignore[method-assign]


def two_answers(file: models.TFLiteFile) -> None:
    content = file.content

    def with_second_output(inputs: list[int], outputs: list[int], **options: Any) -> bytes:
        return content(inputs, [*outputs, outputs[0] - 1], **options)

    file.content = with_second_output  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("damage", "message"), [(two_images, "2 inputs and 1 outputs"), (two_answers, "1 inputs and 2 outputs")]
)
def test_a_tflite_model_of_something_else(tmp_path: Path, damage: models.Damage, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        open_interpreter(models.tflite(tmp_path / "model.tflite", damage=damage))


def test_an_onnx_model_of_something_else(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    def second_input(model: Any) -> None:
        model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))

    def second_output(model: Any) -> None:
        model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]))

    with pytest.raises(SpecError, match="2 inputs and 1 outputs"):
        open_interpreter(models.onnx(tmp_path / "model.onnx", damage=second_input))
    with pytest.raises(SpecError, match="1 inputs and 2 outputs"):
        open_interpreter(models.onnx(tmp_path / "model.onnx", damage=second_output))


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"not a \.tflite or \.onnx file \(it looks like: keras\)"):
        open_interpreter(models.keras(tmp_path / "model.tflite"))
    with pytest.raises(ModelFileError, match="does not exist"):
        open_interpreter(tmp_path / "missing.tflite")


def test_a_model_that_fails_when_run(tmp_path: Path) -> None:
    interpreter = open_interpreter(models.fails_when_run(tmp_path / "model.tflite"))
    with pytest.raises(ModelFileError, match=r"model\.tflite fails when run: gather index out of bounds"):
        interpreter.run(np.zeros((1, *SHAPE), np.float32))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 8, 8, 4), np.float32), np.zeros((1, 8, 8, 3), np.float64), np.zeros((8, 8, 3), np.float32)]
)
def test_an_input_that_does_not_fit(tmp_path: Path, make: Callable[..., Path], wrong: NDArray[Any]) -> None:
    interpreter = open_interpreter(make(tmp_path / "model", batch=1))
    with pytest.raises(ModelFileError, match="fails when run"):
        interpreter.run(wrong)
    image = models.colour(200, 100, 50)
    np.testing.assert_allclose(
        interpreter.run(image[None].astype(np.float32))[0], models.expected(image), atol=1e-5
    )  # it still works


def huge_tflite(path: Path) -> Path:
    def damage(file: models.TFLiteFile) -> None:
        file.graph.tensors[0].shape = [1, 100_000, 100_000, 3]

    return models.tflite(path, batch=1, damage=damage)


def huge_onnx(path: Path) -> Path:
    def damage(model: Any) -> None:
        for dimension in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
            dimension.dim_value = 100_000

    return models.onnx(path, batch=1, damage=damage)


@pytest.mark.parametrize("make", [huge_tflite, huge_onnx])
def test_an_input_too_large_for_any_image(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(ModelFileError, match=r"\(1, 100000, 100000, 3\): too large"):
        open_interpreter(make(tmp_path / "model"))


def test_a_graph_that_the_runtime_refuses(tmp_path: Path) -> None:
    def damage_tflite(file: models.TFLiteFile) -> None:
        file.model.operatorCodes[0].version = 99

    def damage_onnx(model: Any) -> None:
        model.graph.node[0].op_type = "Nothing\x1b[31m"

    with pytest.raises(ModelFileError, match=r"The TFLite runtime refuses model\.tflite: .*99"):
        open_interpreter(models.tflite(tmp_path / "model.tflite", damage=damage_tflite))
    with pytest.raises(ModelFileError, match=r"ONNX Runtime refuses model\.onnx: .*Nothing\ufffd\[31m"):
        open_interpreter(models.onnx(tmp_path / "model.onnx", damage=damage_onnx))


def test_an_interpreter_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeMissingError, match="ai-edge-litert") as caught:
        open_interpreter(models.tflite(tmp_path / "model.tflite"))
    assert caught.value.hint == "Install it with: pip install ai-edge-litert"
    with pytest.raises(RuntimeMissingError, match="onnxruntime") as caught:
        open_interpreter(models.onnx(tmp_path / "model.onnx"))
    assert caught.value.hint == "Install it with: pip install onnxruntime"


@pytest.mark.parametrize("closed", [False, True])
def test_nothing_is_said_on_stderr(tmp_path: Path, closed: bool) -> None:
    """LiteRT greets on the first interpreter; a program may also run without stderr."""
    path = models.tflite(tmp_path / "model.tflite")
    code = (
        "import sys, numpy; from pathlib import Path; from edgekit.runtime.interpreters import open_interpreter\n"
        "for _ in range(2): open_interpreter(Path(sys.argv[1])).run(numpy.zeros((1, 8, 8, 3), 'float32'))\n"
        "print('done')"
    )
    command = [sys.executable, "-c", code, str(path)]
    if closed:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_an_onnx_graph_that_is_open_but_fixed_inside_is_run_one_by_one(tmp_path: Path) -> None:
    def fix(model: Any) -> None:
        from onnx import helper, numpy_helper

        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3], np.int64), "one"))
        model.graph.node.insert(3, helper.make_node("Reshape", ["logits", "one"], ["reshaped"]))
        model.graph.node[4].input[0] = "reshaped"

    images = np.stack([models.colour(200, 0, 0), models.colour(0, 200, 0)]).astype(np.float32)
    answers = open_interpreter(models.onnx(tmp_path / "m.onnx", damage=fix)).run(images)
    assert answers.shape == (2, 3)
    assert answers.argmax(1).tolist() == [0, 1]


# --- what computes


def test_the_engine_says_what_it_is(tmp_path: Path) -> None:
    engine = open_interpreter(models.tflite(tmp_path / "m.tflite")).engine
    assert (engine.name, engine.version, engine.accelerated) == ("litert", metadata.version("ai-edge-litert"), True)
    engine = open_interpreter(models.onnx(tmp_path / "m.onnx")).engine
    assert (engine.name, engine.version, engine.accelerated) == ("onnxruntime", metadata.version("onnxruntime"), None)
