"""ONNX Runtime's quantizer, behind two functions that run in a child process.

Static int8 is QDQ with unsigned activations and signed weights per channel after `quant_pre_process`: of the recipes
measured, signed activations and unprocessed graphs ran slower than float. The softmax stays in float, as in TFLite.
Ranges are edgekit's own (`estimators.py`); the quantizer takes them as a cache of its calibrator, the one way
that it offers. `tests/quantize/test_onnx_adapter.py` holds what edgekit needs of it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import ConversionError, MissingExtraError
from edgekit.quantize.plan import Plan
from edgekit.runtime.spec import printable

LINEAR = ("MatMul", "Gemm")
DYNAMIC = (*LINEAR, "LSTM")  # what quantize_dynamic makes quick
FLOAT_ONLY = ("GRU", "RNN", "Loop", "Scan", "If")  # what ONNX Runtime computes in float whatever it is given
PER_CHANNEL_OPSET = 13


def prepare(source: str, target: str) -> None:
    """Make a float `.onnx` a core: fused as far as standard operators allow, with shapes, and a name for every node.

    Cores are prepared before anything looks at them, so that their tensors are those that will be quantized.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    _require_onnx()
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(source, target, skip_symbolic_shape=True)
    model = _with_opset(onnx.load(target))
    for number, node in enumerate(model.graph.node):  # excluding the name "" would exclude all that have none
        node.name = node.name or f"edgekit_{number}"
    onnx.save(model, target)


def quantize(source: str, target: str, plan: dict[str, Any], ranges: dict[str, list[float]] | None) -> None:
    """Quantize the prepared float32 `.onnx` in `source` into `target`; input and output stay float32.

    Args:
        plan: a `Plan`, as JSON, of scheme float16, dynamic or int8; its repairs have been made.
        ranges: {tensor: [low, high]} of every activation that a node makes; for int8.

    Raises:
        MissingExtraError: onnx is not installed.
        ConversionError: dynamic is asked for where it would help nothing, or the plan keeps a node that the file does
            not have.
    """
    _require_onnx()
    import onnx
    from onnxruntime import quantization

    chosen = Plan.from_json(plan)
    model = onnx.load(source)
    kept = _names(model, chosen)
    if chosen.scheme == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(model, keep_io_types=True, node_block_list=kept), target)
    elif chosen.scheme == "dynamic":
        _require_dynamic(model)
        quantization.quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(DYNAMIC),
            # Unsigned: products of signed weights overflow as below (an LSTM was wrong by 0.24, and so by 0.03).
            weight_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=kept,
        )
    else:
        assert ranges is not None
        _require_static(model)
        cache = Path(target).with_suffix(".ranges.json")
        _save_ranges({_input_name(model): [0.0, 255.0], **ranges}, cache)
        quantization.quantize_static(
            source,
            target,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # 7 bits: x86-64 processors without VNNI add pairs of products in 16 bits, which 8 bits overflow without a
            # word. Such a file would answer differently on another machine.
            reduce_range=True,
            nodes_to_exclude=[*(node.name for node in model.graph.node if node.op_type == "Softmax"), *kept],
            calibration_cache_path=cache,
        )


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Quantizing an ONNX file", "onnx", "onnx") from error


def _save_ranges(ranges: dict[str, list[float]], path: Path) -> None:
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData, save_tensors_data

    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)


def _names(model: Any, plan: Plan) -> list[str]:
    """Of the nodes that stay in float; the plan knows them by their first outputs."""
    by_output = {node.output[0]: node.name for node in model.graph.node}
    for output in plan.keep_float:
        if output not in by_output:
            raise ConversionError(f"The model has no operator {printable(output)!r} that could be kept.")
    return [by_output[output] for output in plan.keep_float]


def _with_opset(model: Any) -> Any:
    """The model in an opset that has per-channel DequantizeLinear."""
    import onnx

    if any(part.domain in ("", "ai.onnx") and part.version < PER_CHANNEL_OPSET for part in model.opset_import):
        return onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET)
    return model


def _require_dynamic(model: Any) -> None:
    """Dynamic quantization of convolutions is 5 to 10 times slower than float; refuse where they hold the weights."""
    weights = _weights(model)
    held = sum(weights[kind] for kind in DYNAMIC)
    if held < weights.total() / 2:
        float_only = sum(weights[kind] for kind in FLOAT_ONLY) > weights.total() / 2
        raise ConversionError(
            "Dynamic quantization helps an ONNX model only where LSTM layers and matrix products hold most weights, "
            f"and here they hold {held} of {weights.total()}.",
            "Use --quantize float16." if float_only else "Use --quantize int8 with --calibrate DATA.",
        )


def _require_static(model: Any) -> None:
    """ONNX Runtime computes recurrent layers and loops in float; refuse where they hold the weights."""
    weights = _weights(model)
    held = weights["LSTM"] + sum(weights[kind] for kind in FLOAT_ONLY)
    if held > weights.total() / 2:
        dynamic = weights["LSTM"] > weights.total() / 2
        raise ConversionError(
            "ONNX Runtime computes recurrent layers and loops in float even where activations are quantized, and here "
            f"they hold {held} of {weights.total()} weights.",
            f"Use --quantize {'dynamic' if dynamic else 'float16'}.",
        )


def _weights(model: Any) -> Counter[str]:
    """How many weights the nodes of each kind hold, what is inside of loops and branches included; shared ones once."""
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    held: Counter[str] = Counter()
    for node in model.graph.node:
        inside = [node]
        while inside:
            part = inside.pop()
            held[node.op_type] += sum(sizes.pop(name, 0) for name in part.input)
            for graph in (attribute.g for attribute in part.attribute if attribute.HasField("g")):
                sizes |= {weight.name: int(np.prod(weight.dims)) for weight in graph.initializer}
                inside += graph.node
    return held


def _input_name(model: Any) -> str:
    """The name of the model's one input; old files list their weights among the inputs."""
    constants = {constant.name for constant in model.graph.initializer}
    return next(str(tensor.name) for tensor in model.graph.input if tensor.name not in constants)
