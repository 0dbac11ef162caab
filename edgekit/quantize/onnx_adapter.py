"""ONNX Runtime's quantizer, behind one function that runs in a child process.

Static int8 is QDQ with unsigned activations and signed weights per channel after `quant_pre_process`: of the recipes
measured, signed activations and unprocessed graphs ran slower than float. The softmax stays in float, as in TFLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import ConversionError, MissingExtraError

LINEAR = ("MatMul", "Gemm")
PER_CHANNEL_OPSET = 13


def quantize(source: str, target: str, scheme: str, samples: str | None, layout: str) -> None:
    """Quantize the float32 `.onnx` in `source` into `target`; input and output stay float32.

    Args:
        scheme: float16, dynamic or int8.
        samples: a `.npy` with the representative dataset, uint8 [N, H, W, C]; for int8.
        layout: NHWC or NCHW, of the graph's input.

    Raises:
        MissingExtraError: onnx is not installed.
        ConversionError: dynamic is asked for where it would help nothing.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Quantizing an ONNX file", "onnx", "onnx") from error
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if scheme == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
        return
    prepared = str(Path(target).with_suffix(".prepared.onnx"))
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    model = _with_opset(onnx.load(prepared))
    onnx.save(model, prepared)
    if scheme == "dynamic":
        _require_linear(model)
        quantization.quantize_dynamic(
            prepared, target, op_types_to_quantize=list(LINEAR), weight_type=quantization.QuantType.QInt8
        )
        return
    assert samples is not None
    for number, node in enumerate(model.graph.node):  # excluding the name "" would exclude all that have none
        node.name = node.name or f"edgekit_{number}"
    onnx.save(model, prepared)
    quantization.quantize_static(
        prepared,
        target,
        _reader(_input_name(model), samples, layout),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        # 7 bits: x86-64 processors without VNNI add pairs of products in 16 bits, which 8 bits overflow without a word.
        # Such a file would answer differently on another machine.
        reduce_range=True,
        nodes_to_exclude=[node.name for node in model.graph.node if node.op_type == "Softmax"],
    )


def _with_opset(model: Any) -> Any:
    """The model in an opset that has per-channel DequantizeLinear."""
    import onnx

    if any(part.domain in ("", "ai.onnx") and part.version < PER_CHANNEL_OPSET for part in model.opset_import):
        return onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET)
    return model


def _require_linear(model: Any) -> None:
    """Dynamic quantization of convolutions is 5 to 10 times slower than float; refuse where they hold the weights."""
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    linear = sum(sizes.get(name, 0) for node in model.graph.node if node.op_type in LINEAR for name in node.input)
    if linear < sum(sizes.values()) / 2:
        raise ConversionError(
            "Dynamic quantization helps an ONNX model only where matrix products hold most weights, "
            f"and here they hold {linear} of {sum(sizes.values())}.",
            "Use --quantize int8 with --calibrate DATA.",
        )


def _input_name(model: Any) -> str:
    """The name of the model's one input; old files list their weights among the inputs."""
    constants = {constant.name for constant in model.graph.initializer}
    return next(str(tensor.name) for tensor in model.graph.input if tensor.name not in constants)


def _reader(name: str, samples: str, layout: str) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped
        """The representative dataset, an image at a time."""

        def __init__(self) -> None:
            self._feeds = self._iterate()

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

        def _iterate(self) -> Iterator[dict[str, Any]]:
            for image in np.load(samples, mmap_mode="r"):
                if layout == "NCHW":
                    image = image.transpose(2, 0, 1)
                yield {name: image[None].astype(np.float32)}

    return Reader()
