"""litert-quantizer, behind one function that runs in a child process.

Uses parts of litert-quantizer that it does not promise to keep: the recipe manager's rules, by which the last recipe
that an operator supports wins, the names of scopes, and the form of a calibration result ("QSVs"). Its minor version is
pinned; `tests/quantize/test_litert_adapter.py` is the contract that fails first.

Where edgekit departs from the library's defaults (measured on EfficientNet-Lite0 and 900 photos):
- ranges are edgekit's own (`estimators.py`); the library's moving average lost 1.5 points;
- the softmax stays in float: an int8 softmax knows multiples of 1/256 only, and gave 22 times the error in the
  probabilities at no gain in size or speed;
- the input's range is the range of a byte, so that scale 1 and the zero point map pixels exactly;
- in `dynamic` files the weights of dense layers, matrix products and embeddings have one scale: the runtimes of devices
  answer wrongly where they have several (tflite-runtime 2.14; TensorFlow Lite 2.16.1, dense layers on arm64 only).
  Agreement with float is the same, 0.917.

What must have one scale on both sides (reshape, pool, pad, concatenation) gets it from the library.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import ConversionError
from edgekit.quantize.plan import Plan
from edgekit.runtime.spec import printable

FOUR = ".+"  # as ".*", which would take the other's place


def quantize(
    source: str, target: str, plan: dict[str, Any], ranges: dict[str, list[float]] | None, io: str, probabilities: bool
) -> None:
    """Quantize the float32 `.tflite` in `source` into `target`.

    Args:
        plan: a `Plan`, as JSON; its scheme is not none, and its repairs have been made.
        ranges: {tensor: [low, high]} of every activation that an operator makes; for int8 and int16x8.
        probabilities: the output holds values from 0 to 1 (a quantized output covers all of it).
        io: for int8 "uint8" (bytes in, float32 out), "int8" (both) or "float32" (both); other schemes: "float32".

    Raises:
        ConversionError: the plan keeps an operator that the file does not have.
    """
    from litert_quantizer import quantizer

    chosen = Plan.from_json(plan)
    work = quantizer.Quantizer(source)
    graph = _Graph(source)
    _require_names(chosen, graph)
    _scheme(work, chosen.scheme)
    _keep_in_float(work, io)
    preamble = graph.preamble() if chosen.scheme == "int16x8" else []
    half_read = graph.half_read() if chosen.calibrated else []
    for name in (*preamble, *half_read, *chosen.keep_float):
        _keep_operator(work, graph.scopes[name])
    statistics = graph.statistics(ranges, probabilities) if ranges is not None else None
    result = work.quantize(calibration_result=statistics, enable_progress_report=False)
    Path(target).write_bytes(bytes(result.quantized_model))


def _scheme(work: Any, scheme: str) -> None:
    """What all operators get; 4 bits only where they can be, and 8 elsewhere."""
    from litert_quantizer import algorithm_manager, qtyping

    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    octav = algorithm_manager.AlgorithmName.OCTAV
    if scheme == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, explicit_dequantize=True, compute_precision=qtyping.ComputePrecision.FLOAT
        )
        casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
        work.update_quantization_recipe(".*", everything, config, algorithm_key=casting)
    elif scheme in ("dynamic", "dynamic4"):
        work.add_dynamic_config(".*", everything, 8)
        if scheme == "dynamic4":
            work.add_dynamic_config(FOUR, everything, 4, algorithm_key=octav)
        else:
            names, one = qtyping.TFLOperationName, qtyping.QuantGranularity.TENSORWISE
            for name in (names.FULLY_CONNECTED, names.BATCH_MATMUL, names.EMBEDDING_LOOKUP):
                work.add_dynamic_config(".*", name, 8, granularity=one)
    elif scheme in ("weight8", "weight4"):
        work.add_weight_only_config(".*", everything, 8)
        if scheme == "weight4":
            work.add_weight_only_config(FOUR, everything, 4, algorithm_key=octav)
    else:
        work.add_static_config(".*", everything, 8 if scheme == "int8" else 16, 8)


def _keep_operator(work: Any, scope: str) -> None:
    """Leave an operator in float."""
    from litert_quantizer import algorithm_manager, qtyping

    none = algorithm_manager.AlgorithmName.NO_QUANTIZE
    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    work.update_quantization_recipe(f"^{re.escape(scope)}$", everything, algorithm_key=none)


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


class _Graph:
    """The operators and activations of a `.tflite` file."""

    def __init__(self, source: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._operators = schema.BuiltinOperator
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(Path(source).read_bytes(), 0))
        self._graph = self._model.subgraphs[0]

        # Operators as plans name them, by their first output, and as the library does, by all of them.
        outputs = [[self._name(index) for index in operator.outputs] for operator in self._graph.operators]
        self.scopes = {names[0]: "".join(f"{name};" for name in names) for names in outputs if names}

    def preamble(self) -> list[str]:
        """The operators before the first weights: the normalisation.

        TFLite's int16 ADD wants scales that an offset rarely has ("input1_shift <= 0 was not true").
        """
        weighted = {self._operators.CONV_2D, self._operators.DEPTHWISE_CONV_2D, self._operators.FULLY_CONNECTED}
        kinds = [self._model.operatorCodes[operator.opcodeIndex].builtinCode for operator in self._graph.operators]
        first = next((number for number, kind in enumerate(kinds) if kind in weighted), 0)
        return list(self.scopes)[:first]

    def half_read(self) -> list[str]:
        """The operators of which an output is read by nothing, as the first step of an LSTM's SPLIT is.

        The library leaves such an output in float beside its quantized sisters, which TFLite refuses to run.
        """
        read = {int(index) for operator in self._graph.operators for index in operator.inputs}
        read |= {int(index) for index in self._graph.outputs}
        return [
            self._name(operator.outputs[0])
            for operator in self._graph.operators
            if not read.issuperset(map(int, operator.outputs))
        ]

    def statistics(self, ranges: dict[str, list[float]], probabilities: bool) -> dict[str, dict[str, Any]]:
        """The ranges as the library takes them."""
        known = {self._name(index): (0.0, 255.0) for index in self._graph.inputs}
        if probabilities:
            known |= {self._name(index): (0.0, 1.0) for index in self._graph.outputs}
        ranks = {self._name(index): len(tensor.shape) for index, tensor in enumerate(self._graph.tensors)}
        return {
            name: {"min": np.full((1,) * ranks[name], low), "max": np.full((1,) * ranks[name], high)}
            for name, (low, high) in {**ranges, **known}.items()
        }

    def _name(self, tensor: int) -> str:
        return str(self._graph.tensors[tensor].name.decode())


def _require_names(plan: Plan, graph: _Graph) -> None:
    for name in plan.keep_float:
        if name not in graph.scopes:
            raise ConversionError(f"The model has no operator {printable(name)!r} that could be kept.")
