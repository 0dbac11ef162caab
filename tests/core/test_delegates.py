"""The table of what XNNPACK takes, against XNNPACK itself; tests/android/test_delegates.py asks the app's delegates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.core import delegates
from edgekit.core.anatomy import read_graphs
from edgekit.core.delegates import DELEGATES, Placement, placements
from tests import models
from tests.android import networks
from tests.core.delegate_cases import cases
from tests.validate.edited import edited


def placed(path: Path) -> dict[str, Placement]:
    return {one.delegate: one for one in placements(read_graphs(path)[0])}


def taken_by_xnnpack(path: Path) -> list[set[int]]:
    """The operators that the interpreter here hands to XNNPACK, by island.

    It adds an operator for each island, which has the island's inputs and outputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    every = interpreter._get_ops_details()
    plain = [one for one in every if one["op_name"] != "DELEGATE"]
    producers = {int(index): number for number, one in enumerate(plain) for index in one["outputs"]}
    islands = []
    for island in every[len(plain) :]:
        given, wanted, found = set(island["inputs"].tolist()), island["outputs"].tolist(), set()
        while wanted:
            index = wanted.pop()
            if index not in given and index in producers and producers[index] not in found:
                found.add(producers[index])
                wanted += plain[producers[index]]["inputs"].tolist()
        islands.append(found)
    return islands


def test_one_operator_at_a_time(tmp_path: Path) -> None:
    table, real = {}, {}
    for name, path in cases(tmp_path):
        table[name] = placed(path)["xnnpack"].operators[0].taken
        real[name] = taken_by_xnnpack(path) == [{0}]
    assert table == real
    assert 50 < sum(real.values()) < len(real) - 20


@pytest.fixture(scope="module")
def schemes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network in every scheme, and a file as old converters made them."""
    folder = tmp_path_factory.mktemp("schemes")
    return {**networks.in_every_scheme(folder), "third party": networks.third_party(folder / "third.tflite")}


def test_whole_networks(schemes: dict[str, Path]) -> None:
    for scheme, path in schemes.items():
        found, real = placed(path)["xnnpack"], taken_by_xnnpack(path)
        assert {number for number, one in enumerate(found.operators) if one.taken} == set().union(*real), scheme
        assert found.islands == len(real), scheme


def test_islands_copies_and_macs(schemes: dict[str, Path]) -> None:
    dynamic, half = placed(schemes["dynamic"]), placed(schemes["float16"])
    assert (half["xnnpack"].islands, half["xnnpack"].rest, half["xnnpack"].copies, half["xnnpack"].macs) == (1, 0, 0, 1)
    assert (half["gpu"].islands, half["gpu"].copies) == (1, 2)  # the input and the output
    # Three depthwise convolutions stay on the CPU; before and after each of them a tensor is handed over.
    cpu = dynamic["xnnpack"]
    assert [one.reason for one in cpu.operators if not one.taken] == ["takes weights of float32, not int8"] * 3
    assert (cpu.islands, cpu.rest, cpu.copies) == (4, 3, 6)
    assert cpu.macs is not None
    assert 0.5 < cpu.macs < 1
    older = dynamic["xnnpack-2.16.1"]
    assert older.macs == 0
    assert all(one.taken for one in dynamic["gpu"].operators)
    assert "xnnpack_delegate.cc at " in cpu.operators[-1].source
    assert cpu.operators[-1].source.endswith(", VisitSoftmaxNode")


def test_what_breaks_a_delegate(schemes: dict[str, Path]) -> None:
    found = placed(schemes["int16x8"])["nnapi"]
    assert found.breaks == "it refuses models with biases of 64 bits"
    assert {one.reason for one in found.operators} == {found.breaks}
    assert (found.islands, found.macs) == (0, 0)


def test_an_operator_that_nobody_takes(tmp_path: Path) -> None:
    def custom(file: models.TFLiteFile) -> None:
        code = file.model.operatorCodes[1]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = "Flex\x1bOp"

    for one in placed(models.tflite(tmp_path / "m.tflite", damage=custom)).values():
        assert not one.operators[1].taken
        assert one.operators[1].reason == "it does not have this operator"
        assert one.macs is None


def test_the_tables_are_whole() -> None:
    from ai_edge_litert import schema_py_generated as schema

    document = json.loads(Path(delegates.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    assert set(document) == {"about", *DELEGATES}
    known = set(vars(schema.BuiltinOperator))
    for delegate in DELEGATES:
        if "like" in (table := document[delegate]):
            assert table["like"] in DELEGATES
            continue
        assert all(source["document"] and source["version"] for source in table["sources"])
        for rule in (*table["rules"], *table["breaks"]):
            number, section = rule["source"]
            assert table["sources"][number]
            assert section
            assert known.issuperset(rule["for"])
        for key in {key for rule in table["rules"] for key in rule}:
            assert f"`{key}`" in document["about"] or key == "source", key


def test_what_unpacks_weights_does_not_make_an_island_large(schemes: dict[str, Path], tmp_path: Path) -> None:
    own = 0

    def custom(model: Any, tensors: dict[str, Any]) -> None:
        nonlocal own
        from ai_edge_litert import schema_py_generated as schema

        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = "Own"
        model.operatorCodes.append(code)
        kinds = [model.operatorCodes[one.opcodeIndex].builtinCode for one in model.subgraphs[0].operators]
        own = kinds.index(schema.BuiltinOperator.ADD)
        model.subgraphs[0].operators[own].opcodeIndex = len(model.operatorCodes) - 1

    graph = read_graphs(edited(schemes["float16"], tmp_path / "m.tflite", custom))[0]
    [gpu] = [one for one in placements(graph) if one.delegate == "gpu"]
    names = [operator.name for operator in graph.operators]
    taken = {number for number, one in enumerate(gpu.operators) if one.taken and names[number] != "DEQUANTIZE"}
    assert taken == {number for number in range(own + 1, len(names)) if names[number] != "DEQUANTIZE"}
    unpacked = [one.taken for one, name in zip(gpu.operators, names, strict=True) if name == "DEQUANTIZE"]
    assert 0 < sum(unpacked) < len(unpacked)
    assert gpu.islands == 1
