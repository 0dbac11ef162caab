"""litert-quantizer, behind one function that runs in a child process.

Uses parts of litert-quantizer that it does not promise to keep: the calibrator's statistics ("QSVs") and the recipe
manager. Its minor version is pinned; `tests/quantize/test_litert_adapter.py` is the contract that fails first.

Where edgekit departs from the library's defaults (measured on EfficientNet-Lite0 and 900 photos):
- ranges are the minimum and maximum over the representative dataset; the default moving average lost 1.5 points;
- the softmax stays in float: an int8 softmax knows multiples of 1/256 only, and gave 22 times the error in the
  probabilities at no gain in size or speed;
- the input's range is the range of a byte, so that scale 1 and the zero point map pixels exactly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 16


def quantize(
    source: str, target: str, scheme: str, samples: str | None, io: str, probabilities: bool
) -> dict[str, list[float]]:
    """Quantize the float32 `.tflite` in `source` into `target`.

    Args:
        scheme: float16, dynamic, int8 or int16x8.
        samples: a `.npy` with the representative dataset, uint8 [N, H, W, C]; for int8 and int16x8.
        probabilities: the output holds values from 0 to 1 (a quantized output covers all of it).
        io: for int8 "uint8" (bytes in, float32 out), "int8" (both) or "float32" (both); other schemes: "float32".

    Returns:
        The calibrated range of every activation, {tensor: [minimum, maximum]}; empty without calibration.
    """
    from litert_quantizer import calibrator, quantizer, recipe

    recipes = {
        "dynamic": recipe.dynamic_wi8_afp32,
        "int8": recipe.static_wi8_ai8,
        "int16x8": recipe.static_wi8_ai16,
    }
    work = quantizer.Quantizer(source)
    if scheme == "float16":
        _float16(work)
        statistics = None
    else:
        work.load_quantization_recipe(recipes[scheme]())
        _keep_in_float(work, io)
        if scheme == "int16x8":
            _keep_preamble_in_float(work, source)
        statistics = None
        if samples is not None:
            found = calibrator.Calibrator(
                source,
                num_threads=1,
                qsv_update_func=_min_max,
                mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            )
            statistics = _calibrate(found, work, source, np.load(samples, mmap_mode="r"), probabilities)
    result = work.quantize(calibration_result=statistics, enable_progress_report=False)
    Path(target).write_bytes(bytes(result.quantized_model))
    return {
        name: [float(np.min(qsv["min"])), float(np.max(qsv["max"]))]
        for name, qsv in (statistics or {}).items()
        if "min" in qsv
    }


def _float16(work: Any) -> None:
    from litert_quantizer import algorithm_manager, qtyping

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=weights, explicit_dequantize=True, compute_precision=qtyping.ComputePrecision.FLOAT
    )
    work.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        config,
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )


def _keep_in_float(work: Any, io: str) -> None:
    from litert_quantizer import algorithm_manager, qtyping

    names = qtyping.TFLOperationName
    none = algorithm_manager.AlgorithmName.NO_QUANTIZE
    work.update_quantization_recipe(".*", names.SOFTMAX, algorithm_key=none)
    if io in ("uint8", "int8"):
        dtype = qtyping.TensorDataType.UINT if io == "uint8" else qtyping.TensorDataType.INT
        activation = qtyping.TensorQuantizationConfig(
            num_bits=8, symmetric=False, dtype=dtype, granularity=qtyping.QuantGranularity.TENSORWISE
        )
        config = qtyping.OpQuantizationConfig(
            activation_tensor_config=activation, compute_precision=qtyping.ComputePrecision.INTEGER
        )
        work.update_quantization_recipe(
            ".*", names.INPUT, config, algorithm_key=algorithm_manager.AlgorithmName.MIN_MAX_UNIFORM_QUANT
        )
    else:
        work.update_quantization_recipe(".*", names.INPUT, algorithm_key=none)
    if io != "int8":
        work.update_quantization_recipe(".*", names.OUTPUT, algorithm_key=none)


def _keep_preamble_in_float(work: Any, source: str) -> None:
    """Leave the operators before the first weights (the normalisation) in float.

    TFLite's int16 ADD wants scales that an offset rarely has ("input1_shift <= 0 was not true").
    """
    from ai_edge_litert import schema_py_generated as schema
    from litert_quantizer import algorithm_manager, qtyping

    weighted = {
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
        schema.BuiltinOperator.FULLY_CONNECTED,
    }
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(Path(source).read_bytes(), 0))
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode in weighted:
            return
        name = graph.tensors[operator.outputs[0]].name.decode()
        work.update_quantization_recipe(
            f"^{re.escape(name)};?$",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )


def _calibrate(found: Any, work: Any, source: str, images: Any, probabilities: bool) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    [signature, tensors] = next(iter(Interpreter(source).get_signature_list().items()))
    name = tensors["inputs"][0]
    for start in range(0, len(images), CHUNK):
        batch = [{name: image[None].astype(np.float32)} for image in images[start : start + CHUNK]]
        found.calibrate({signature: batch}, work._recipe_manager)
    statistics: dict[str, Any] = found.get_model_qsvs()
    _set_range(statistics[name], 0, 255)
    if probabilities:
        graph = Interpreter(source)
        _set_range(statistics[graph.get_output_details()[0]["name"]], 0, 1)
    return statistics


def _set_range(statistic: dict[str, Any], low: float, high: float) -> None:
    statistic["min"] = np.full_like(statistic["min"], low)
    statistic["max"] = np.full_like(statistic["max"], high)


def _min_max(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    if not old:
        return new
    return {**new, "min": np.minimum(old["min"], new["min"]), "max": np.maximum(old["max"], new["max"])}
