"""One small interface over LiteRT, tflite-runtime and ONNX Runtime."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.errors import ModelFileError, RuntimeMissingError, SpecError
from edgekit.runtime.modelfile import sniff
from edgekit.runtime.spec import Quantization, printable

MAX_TENSOR_ELEMENTS = 1 << 28
MAX_BATCH = 256


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the model file declares it; a dimension the file leaves open is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None


@dataclass(frozen=True)
class Engine:
    """What computes a model's answers.

    Attributes:
        name: `litert`, `tflite-runtime` or `onnxruntime`.
        version: of that package.
        accelerated: XNNPACK computes at least a part of the graph; None where there is no such choice.
    """

    name: str
    version: str
    accelerated: bool | None = None


class Interpreter(Protocol):
    """A loaded model with one input and one output.

    `run` takes [N, ...] in the input's dtype and gives [N, ...] float32, dequantized where the output is
    quantized. An interpreter belongs to one thread at a time.
    """

    input: TensorInfo
    output: TensorInfo
    batched: bool

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Answers for a batch of prepared inputs; N at most MAX_BATCH."""
        ...


def open_interpreter(path: Path, threads: int = 1) -> TFLiteInterpreter | OnnxInterpreter:
    """Load a `.tflite` or `.onnx` file, told apart by content.

    Raises:
        ModelFileError: it is neither, or the runtime refuses it.
        RuntimeMissingError: no interpreter for it is installed.
        SpecError: it does not have exactly one input and one output.
    """
    kind = sniff(path)
    if kind == "tflite":
        return TFLiteInterpreter(path, threads)
    if kind == "onnx":
        return OnnxInterpreter(path, threads)
    raise ModelFileError(f"{printable(str(path))} is not a .tflite or .onnx file (it looks like: {kind}).")


class TFLiteInterpreter:
    """LiteRT, or tflite-runtime where LiteRT is not installed. XNNPACK is on, as both have it by default."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path, self._threads = path, threads
        try:
            self._interpreter = self._load()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            _require_one_each(path, len(inputs), len(outputs))
            self.input, self.output = _tflite_tensor(inputs[0]), _tflite_tensor(outputs[0])
            _require_bounded(path, self.input)
            self._allocate()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"The TFLite runtime refuses {printable(path.name)}: {_first_line(error)}") from error
        self.batched = self.input.shape[:1] == (None,)
        self._input_index, self._output_index = int(inputs[0]["index"]), int(outputs[0]["index"])

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See Interpreter. A graph with a fixed batch is run image by image."""
        try:
            if self.batched and len(batch) > 1:
                try:
                    answers = self._invoke(batch)
                    if len(answers) == len(batch):
                        return answers
                except (RuntimeError, ValueError):
                    pass
                self._interpreter, self.batched = self._load(), False  # inside, the graph has a fixed batch after all
                self._allocate()
            return np.concatenate([self._invoke(batch[index : index + 1]) for index in range(len(batch))])
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"{printable(self._path.name)} fails when run: {_first_line(error)}") from error

    @property
    def engine(self) -> Engine:
        """LiteRT or tflite-runtime; XNNPACK shows itself only in the interpreter's private list of nodes."""
        litert = type(self._interpreter).__module__.startswith("ai_edge_litert")
        nodes = self._interpreter._get_ops_details()
        name, package = ("litert", "ai-edge-litert") if litert else ("tflite-runtime", "tflite-runtime")
        return Engine(name, _version(package), any("delegate" in str(node["op_name"]).lower() for node in nodes))

    def _load(self) -> Any:
        return _tflite_class()(model_path=os.fsencode(self._path), num_threads=self._threads)  # names may be no text

    def _allocate(self) -> None:
        with _native_stderr_closed():
            self._interpreter.allocate_tensors()
        self._shape = tuple(self._interpreter.get_input_details()[0]["shape"])

    def _invoke(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        if batch.shape != self._shape and _fits(batch.shape, self.input.shape):
            self._shape = ()  # until it is allocated
            self._interpreter.resize_tensor_input(self._input_index, batch.shape)
            self._allocate()
        self._interpreter.set_tensor(self._input_index, batch)
        self._interpreter.invoke()
        return _dequantize(self._interpreter.get_tensor(self._output_index), self.output.quantization)


class OnnxInterpreter:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeMissingError(
                f"Running {printable(path.name)} needs onnxruntime, which is not installed.",
                "Install it with: pip install onnxruntime",
            ) from error
        self._path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is told by an exception
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ModelFileError(f"ONNX Runtime refuses {printable(path.name)}: {_first_line(error)}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        _require_one_each(path, len(inputs), len(outputs))
        self.input, self.output = _onnx_tensor(inputs[0]), _onnx_tensor(outputs[0])
        _require_bounded(path, self.input)
        self.batched = self.input.shape[:1] == (None,)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See Interpreter. A graph with a fixed batch is run image by image."""
        if self.batched and len(batch) > 1:
            with suppress(Exception):  # as above; below it is tried one by one
                answer = self._invoke(batch)
                if len(answer) == len(batch):
                    return answer
            self.batched = False
        try:
            return np.concatenate([self._invoke(batch[index : index + 1]) for index in range(len(batch))])
        except Exception as error:  # as above
            raise ModelFileError(f"{printable(self._path.name)} fails when run: {_first_line(error)}") from error

    @property
    def engine(self) -> Engine:
        """ONNX Runtime, in the version that is installed."""
        return Engine("onnxruntime", _version("onnxruntime"))

    def _invoke(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        [answer] = self._session.run([self.output.name], {self.input.name: batch})
        return np.asarray(answer).astype(np.float32, copy=False)


_quiet = threading.Lock()


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep the line "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." off stderr.

    Native code writes it, and no setting turns it off.
    """
    if sys.stderr is None:  # it was closed when Python started
        yield
        return
    with _quiet:
        sys.stderr.flush()
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)


def _version(package: str) -> str:
    from importlib import metadata  # slow to import, and few need it

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _tflite_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter as TFLite
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter as TFLite
        except ImportError as error:
            raise RuntimeMissingError(
                "Running a .tflite file needs ai-edge-litert (or tflite-runtime), and neither is installed.",
                "Install it with: pip install ai-edge-litert",
            ) from error
    return TFLite


def _tflite_tensor(detail: dict[str, Any]) -> TensorInfo:
    signature = detail.get("shape_signature", detail["shape"])
    signature = detail["shape"] if len(signature) == 0 else signature
    dtype = np.dtype(detail["dtype"]).name
    scale, zero_point = detail["quantization"]
    quantization = Quantization(float(scale), int(zero_point)) if dtype != "float32" and scale else None
    return TensorInfo(
        str(detail["name"]), tuple(None if side < 0 else int(side) for side in signature), dtype, quantization
    )


# ONNX's names of types where numpy has others.
_ONNX_TYPES = {"float": "float32", "double": "float64"}


def _onnx_tensor(node: Any) -> TensorInfo:
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in node.shape)
    dtype = str(node.type).removeprefix("tensor(").removesuffix(")")
    return TensorInfo(str(node.name), shape, _ONNX_TYPES.get(dtype, dtype), None)


def _require_one_each(path: Path, inputs: int, outputs: int) -> None:
    if inputs != 1 or outputs != 1:
        raise SpecError(
            f"{printable(path.name)} has {inputs} inputs and {outputs} outputs; edgekit runs models that "
            "take one image and give one tensor of scores."
        )


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    return len(shape) == len(declared) and all(want in (None, has) for has, want in zip(shape, declared, strict=True))


def _require_bounded(path: Path, tensor: TensorInfo) -> None:
    if math.prod(side or 1 for side in tensor.shape) > MAX_TENSOR_ELEMENTS:
        raise ModelFileError(f"The input of {printable(path.name)} has the shape {tensor.shape}: too large.")


def _dequantize(values: NDArray[Any], quantization: Quantization | None) -> NDArray[np.float32]:
    if quantization is None:
        return np.asarray(values).astype(np.float32, copy=False)
    return (values.astype(np.float32) - np.float32(quantization.zero_point)) * np.float32(quantization.scale)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return printable(text.splitlines()[0])[:300] if text else type(error).__name__
