"""Which operators of a `.tflite` file TensorFlow Lite's delegates take: `placements(graph)`.

The rules are in `delegates.json`, each with the document that it is from.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.anatomy import Graph, GraphOperator, GraphTensor

DELEGATES = ("xnnpack", "xnnpack-2.16.1", "gpu", "nnapi")
_DTYPES_OF_DATA = ("float32", "float16", "int8", "uint8", "int16", "int4")


@dataclass(frozen=True)
class Taken:
    """Whether a delegate takes an operator; `reason`: why not, or on which condition, `source`: who says so."""

    taken: bool
    reason: str
    source: str


@dataclass(frozen=True)
class Placement:
    """What a delegate takes of a graph.

    Attributes:
        delegate: one of DELEGATES; `name` and `where` as people know it.
        operators: one for each of the graph, in its order.
        islands: how many parts of the graph it runs, each in one go; `rest` how many the CPU runs between them.
        copies: tensors that are handed over between the two; with a device's own memory also inputs and outputs.
        macs: the share of the multiply-accumulate operations that it runs, 0 to 1; None when the graph has none.
        breaks: why it refuses the whole model; empty when it does not.
    """

    delegate: str
    name: str
    where: str
    operators: tuple[Taken, ...]
    islands: int
    rest: int
    copies: int
    macs: float | None
    breaks: str


def placements(graph: Graph) -> tuple[Placement, ...]:
    """What each delegate takes of the main graph of a file."""
    return tuple(_placement(graph, delegate) for delegate in DELEGATES)


def _placement(graph: Graph, delegate: str) -> Placement:
    table = _tables()[delegate]
    unpacking = {
        number for number, operator in enumerate(graph.operators)
        if operator.name == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].constant
        and graph.tensors[operator.inputs[0]].dtype in table["unpacked"]
    }
    constants = {index for index, tensor in enumerate(graph.tensors) if tensor.constant}
    constants.update(output for number in unpacking for output in graph.operators[number].outputs)
    answers = [_takes(operator, graph, constants, table) for operator in graph.operators]
    _place_unpacking(graph, unpacking, answers)
    breaks = next(_breaks(graph, table), "")
    if breaks:
        answers = [Taken(False, breaks, "")] * len(answers)
    islands = _islands(graph, [answer.taken for answer in answers])
    if table["largest"] and islands:
        # What unpacks weights could begin anywhere, and does not count (TFLite: FP16GraphPartitionHelper).
        largest = max((part for taken, part in islands if taken), key=lambda part: len(part - unpacking), default=set())
        for taken, part in islands:
            for number in part if taken and part is not largest else ():
                answers[number] = Taken(False, "it takes only the largest island", "")
        _place_unpacking(graph, unpacking, answers)
        islands = _islands(graph, [answer.taken for answer in answers])
    total = sum(operator.macs for operator in graph.operators)
    on_it = sum(operator.macs for operator, answer in zip(graph.operators, answers, strict=True) if answer.taken)
    return Placement(
        delegate, table["name"], table["where"], tuple(answers),
        islands=sum(taken for taken, _ in islands),
        rest=sum(not taken for taken, _ in islands),
        copies=_copies(graph, islands, constants, device=table["device"]),
        macs=on_it / total if total else None,
        breaks=breaks,
    )


def _place_unpacking(graph: Graph, unpacking: set[int], answers: list[Taken]) -> None:
    """What unpacks weights goes where they are used."""
    for number in unpacking:
        [output] = graph.operators[number].outputs
        users = [user for user, operator in enumerate(graph.operators) if output in operator.inputs]
        taken = bool(users) and all(answers[user].taken for user in users)
        answers[number] = Taken(taken, "" if taken else "its weights are used on the CPU", "")


def _takes(operator: GraphOperator, graph: Graph, constants: set[int], table: dict[str, Any]) -> Taken:
    """The answer of the rule that holds, or that fails last."""
    if not operator.inputs or operator.name not in table["by_operator"]:
        return Taken(False, "it does not have this operator", _source(table, None))
    nearest, furthest = Taken(False, "", ""), -1
    for rule in table["by_operator"][operator.name]:
        failures = _failures(operator, graph, constants, rule, table)
        depth, reason = next(((depth, reason) for depth, reason in enumerate(failures) if reason), (math.inf, ""))
        if depth == math.inf:
            return Taken(True, "with OpenCL only" if rule.get("opencl") else "", _source(table, rule))
        if depth > furthest:
            nearest, furthest = Taken(False, reason, _source(table, rule)), int(depth)
    return nearest


def _failures(
    operator: GraphOperator, graph: Graph, constants: set[int], rule: dict[str, Any], table: dict[str, Any]
) -> Iterator[str]:
    """Each part of a rule in turn: empty where it holds, else what is wanting."""
    inputs = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
    position = rule.get("input", 0)
    data = inputs[position] if position < len(inputs) else None
    result = graph.tensors[operator.outputs[0]] if operator.outputs else None
    if data is None or result is None:
        yield "it lacks an input or output"
        return
    yield "" if data.dtype in rule["data"] else f"takes {_either(rule['data'])}, not {data.dtype}"
    weights = inputs[1] if len(inputs) > 1 and "weights" in rule else None
    if weights is not None:
        wanted = rule["weights"]
        yield "" if weights.dtype in wanted else f"takes weights of {_either(wanted)}, not {weights.dtype}"
        yield _scales(weights, rule.get("axis", "any"))
    outputs = rule.get("output", [data.dtype])
    yield "" if result.dtype in outputs else f"gives {_either(outputs)}, not {result.dtype}"
    others = [] if "weights" in rule else [one for one in inputs if one is not None and one.dtype in _DTYPES_OF_DATA]
    yield "" if all(one.dtype == data.dtype for one in others) else "takes inputs of one type only"
    for name, counted, what in (("inputs", operator.inputs, "inputs"), ("outputs", operator.outputs, "outputs")):
        low, high = rule.get(name, (0, math.inf))
        yield "" if low <= len(counted) <= high else f"takes {_range(low, high)} {what}, not {len(counted)}"
    for index in rule.get("present", ()):
        yield "" if index < len(inputs) and inputs[index] is not None else "needs a bias"
    for index in rule.get("constant", ()):
        given = operator.inputs[index] if index < len(operator.inputs) else -1
        yield "" if given < 0 or given in constants else f"takes input {index} only as a constant"
    tensors = [one for one in (*inputs, *(graph.tensors[index] for index in operator.outputs)) if one is not None]
    small = all(len(one.shape) <= table["max_rank"] for one in tensors)
    yield "" if small else f"takes up to {table['max_rank']} dimensions"
    for index, ranks in rule.get("rank", {}).items():
        tensor = inputs[int(index)] if int(index) < len(inputs) else None
        yield "" if tensor is None or len(tensor.shape) in ranks else f"takes {_either(ranks)} dimensions"
    yield from _values(inputs, rule)
    yield from _options(operator, rule, table)
    yield _quantization(inputs, data, result, rule)


def _scales(weights: GraphTensor, axis: int | str | None) -> str:
    if axis == "any" or not weights.per_channel:
        return ""
    if axis is None:
        return "takes weights with one scale only"
    assert isinstance(axis, int)
    return "" if weights.axis == axis % len(weights.shape) else "takes scales along another dimension of the weights"


def _values(inputs: list[GraphTensor | None], rule: dict[str, Any]) -> Iterator[str]:
    """What a rule says of constants."""
    for name in ("least", "ones", "shapes", "values", "one_scale"):
        for index in rule.get(name, ()):
            tensor = inputs[int(index)] if int(index) < len(inputs) else None
            if tensor is None:
                continue
            values = tensor.values or ()
            if name == "one_scale":
                yield "takes biases with one scale only" if tensor.per_channel else ""
            elif name == "values":
                allowed = rule[name][index]
                yield "" if list(values) in allowed else f"takes {_either(allowed)} in input {index}"
            elif name == "shapes":
                yield "" if list(tensor.shape) in rule[name][index] else f"takes input {index} in another shape"
            elif name == "ones":
                yield "" if all(value == 1 for value in values) else "takes steps of 1 only"
            else:
                low = rule[name][index]
                yield "" if all(value >= low for value in values) else f"takes values from {low} in input {index}"


def _options(operator: GraphOperator, rule: dict[str, Any], table: dict[str, Any]) -> Iterator[str]:
    options = operator.options
    fused = options.get("fusedActivationFunction", "NONE")
    yield "" if fused in rule.get("activation", table["activations"]) else f"does not fuse {fused}"
    for name, allowed in rule.get("options", {}).items():
        yield "" if options.get(name, allowed[0]) in allowed else f"takes {name} {_either(allowed)} only"
    if "window" in rule:
        size = int(options.get("filterHeight", 1)) * int(options.get("filterWidth", 1))
        yield "" if size <= rule["window"] else f"takes windows of up to {rule['window']} elements"
    if "windows_of_one" in rule:
        sides = {options.get("filterHeight", 1), options.get("filterWidth", 1)}
        steps = {options.get("strideH", 1), options.get("strideW", 1)}
        yield "" if sides != {1} or steps == {rule["windows_of_one"]} else "takes windows of one element in steps of 1"
    highest = rule.get("version", math.inf)
    yield "" if operator.version <= highest else f"knows it up to version {highest}"


def _quantization(
    inputs: list[GraphTensor | None], data: GraphTensor, result: GraphTensor, rule: dict[str, Any]
) -> str:
    if rule.get("same_quantization") and (data.scales, data.zero_points) != (result.scales, result.zero_points):
        return "takes the same quantization before and after only"
    scales = [tensor.scales[0] for tensor in inputs if tensor is not None and tensor.scales]
    if scales and result.scales:
        for name, factors in (("ratio", scales), ("product_ratio", [math.prod(scales)])):
            low, high = rule.get(name, (0, math.inf))
            if not all(low <= factor / result.scales[0] <= high for factor in factors):
                return "takes scales that are nearer to each other"
    return ""


def _breaks(graph: Graph, table: dict[str, Any]) -> Iterator[str]:
    for operator in graph.operators:
        for one in table["breaks"]:
            index = operator.inputs[one["input"]] if one["input"] < len(operator.inputs) else -1
            if operator.name not in one["for"] or index < 0 or graph.tensors[index].dtype != one["dtype"]:
                continue
            tensor = graph.tensors[index]
            if tensor.constant >= one.get("constant", False) and len(tensor.shape) in one.get("ranks", range(9)):
                yield one["reason"]


def _islands(graph: Graph, taken: list[bool]) -> list[tuple[bool, set[int]]]:
    """The parts that run in one go, in their order, as TFLite cuts a graph (graph_info.cc): each takes all operators of
    its kind, the delegate's or not, whose inputs are there."""
    producers = {output: number for number, operator in enumerate(graph.operators) for output in operator.outputs}
    left, done = list(range(len(graph.operators))), set[int]()
    parts: list[tuple[bool, set[int]]] = []
    while left:
        part: set[int] = set()
        kind: bool | None = None
        for number in left:
            needed = {producers[index] for index in graph.operators[number].inputs if index in producers}
            if needed <= done | part and kind in (None, taken[number]):
                kind = taken[number]
                part.add(number)
        if kind is None:  # a loop, in a damaged file
            break
        parts.append((kind, part))
        done |= part
        left = [number for number in left if number not in part]
    return parts


def _copies(graph: Graph, islands: list[tuple[bool, set[int]]], constants: set[int], *, device: bool) -> int:
    side = {number: taken for taken, part in islands for number in part}
    makers = {index: side.get(number, False) for number, operator in enumerate(graph.operators)
              for index in operator.outputs}
    users: dict[int, set[bool]] = {}
    for number, operator in enumerate(graph.operators):
        for index in operator.inputs:
            users.setdefault(index, set()).add(side.get(number, False))
    if device:
        makers |= dict.fromkeys(graph.inputs, False)
        for index in graph.outputs:
            users.setdefault(index, set()).add(False)
    return sum((not made) in users.get(index, ()) for index, made in makers.items() if index not in constants)


def _either(values: list[Any]) -> str:
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _range(low: float, high: float) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _source(table: dict[str, Any], rule: dict[str, Any] | None) -> str:
    if rule is None:
        source = table["sources"][0]
        return f"{source['document']} at {source['version'][:12]}"
    number, section = rule["source"]
    source = table["sources"][number]
    return f"{source['document']} at {source['version'][:12]}, {section}"


@functools.cache
def _tables() -> dict[str, Any]:
    """The tables, with the rules of each operator."""
    document: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    tables = {}
    for delegate in DELEGATES:
        table = document[delegate]
        older = "like" in table
        table = {**document[table.get("like", delegate)], **table}
        by_operator: dict[str, list[dict[str, Any]]] = {}
        for rule in table["rules"]:
            for name in () if older and rule.get("later") else rule["for"]:
                by_operator.setdefault(name, []).append(rule)
        tables[delegate] = {**table, "by_operator": by_operator}
    return tables
