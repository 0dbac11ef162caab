"""The scan of SavedModels: what is refused and why; which saver is accepted. Hand-made files, no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.importers import saved_model_scan
from tests.attacks.keras_files import (
    RESTORE,
    SAVE,
    SERVE,
    function,
    graph,
    message,
    mutated,
    node,
    write_saved_model,
)


def test_an_ordinary_model_with_its_saver_passes(tmp_path: Path) -> None:
    saved_model_scan.scan(write_saved_model(tmp_path / "model"))


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("ReadFile", "files"), ("WriteFile", "files"), ("MatchingFiles", "files"), ("ImmutableConst", "files"),
        ("InitializeTableFromTextFileV2", "files"), ("Save", "files"), ("RestoreSlice", "files"),
        ("PyFunc", "Python"), ("EagerPyFunc", "Python"), ("PyFuncStateless", "Python"),
        ("TextLineReaderV2", "pipeline"), ("TFRecordDataset", "pipeline"), ("WholeFileReaderV2", "pipeline"),
        ("IteratorFromStringHandleV2", "pipeline"), ("DataServiceDatasetV4", "pipeline"),
        ("CreateSummaryFileWriter", "log"), ("WriteScalarSummary", "log"),
        ("RpcCall", "processes"), ("_Send", "processes"), ("_HostRecv", "processes"),
        ("CollectiveReduceV2", "processes"), ("DebugIdentityV2", "debugger"), ("XlaCustomCallV2", "cannot check"),
        ("Abort", "ends the process"),
    ],
)
def test_operators_that_reach_outside_are_refused(tmp_path: Path, op: str, reason: str) -> None:
    folder = write_saved_model(tmp_path / "model", functions=[
        function("serve_fn", node("first", "MatMul"), node("the/culprit", op)), SAVE, RESTORE])
    found = rf"operator {op} \(node 'the/culprit' of the function 'serve_fn'\).*{reason}"
    with pytest.raises(ImportRefused, match=found):
        saved_model_scan.scan(folder)


@pytest.mark.parametrize("op", [
    "MatMul", "Assert", "HashTableV2", "LookupTableFindV2", "DecodeJpeg", "StringJoin", "VarHandleOp", "ReadVariableOp",
    "While", "RandomUniform", "TensorListReserve", "Save2",
])
def test_operators_that_only_compute_pass(tmp_path: Path, op: str) -> None:
    saved_model_scan.scan(write_saved_model(tmp_path / "model", functions=[
        function("serve_fn", node("it", op)), SAVE, RESTORE]))


@pytest.mark.parametrize("place", ["graph", "unused function", "called function"])
def test_they_are_refused_wherever_they_stand(tmp_path: Path, place: str) -> None:
    evil = node("it", "WriteFile")
    caller = function("serve_fn", node("call", "PartitionedCall", calls="inner"))
    nodes, functions = {
        "graph": ([evil], [SERVE, SAVE, RESTORE]),
        "unused function": ([], [SERVE, SAVE, RESTORE, function("nobody", evil)]),
        "called function": ([], [caller, SAVE, RESTORE, function("inner", evil)]),
    }[place]
    with pytest.raises(ImportRefused, match="WriteFile"):
        saved_model_scan.scan(write_saved_model(tmp_path / "model", nodes=nodes, functions=functions))


@pytest.mark.parametrize(("stream", "refused"), [("stderr", False), ("log(info)", False), ("file:///made", True)])
def test_printing_is_fine_and_printing_into_a_file_is_not(tmp_path: Path, stream: str, refused: bool) -> None:
    folder = write_saved_model(tmp_path / "model", nodes=[node("print", "PrintV2", output_stream=stream)])
    if refused:
        with pytest.raises(ImportRefused, match=r"PrintV2.*writes files"):
            saved_model_scan.scan(folder)
    else:
        saved_model_scan.scan(folder)


def test_the_last_of_two_operator_names_counts(tmp_path: Path) -> None:
    twice = message((1, "it"), (2, "MatMul"), (2, "WriteFile"))
    with pytest.raises(ImportRefused, match="WriteFile"):
        saved_model_scan.scan(write_saved_model(tmp_path / "model", nodes=[twice]))


class TestSaver:
    """SaveV2 and the like: only behind the saver's own nodes."""

    def refused(self, folder: Path, reason: str) -> None:
        with pytest.raises(ImportRefused, match=reason):
            saved_model_scan.scan(folder)

    def test_not_in_the_graph_itself(self, tmp_path: Path) -> None:
        folder = write_saved_model(tmp_path / "m", nodes=[node("it", "SaveV2")])
        self.refused(folder, r"SaveV2 \(node 'it'\) is used outside of the saver")

    def test_not_in_the_signature(self, tmp_path: Path) -> None:
        evil = function("serve_fn", node("it", "SaveV2"))
        self.refused(write_saved_model(tmp_path / "m", functions=[evil, SAVE, RESTORE]), "reached from the node 'call'")

    def test_not_through_a_function_that_calls_it(self, tmp_path: Path) -> None:
        evil = function("serve_fn", node("it", "If", calls="traced_save"))
        self.refused(write_saved_model(tmp_path / "m", functions=[evil, SAVE, RESTORE]), "reached from the node 'call'")

    def test_not_by_an_operator_named_after_the_function(self, tmp_path: Path) -> None:
        evil = function("serve_fn", node("it", "traced_save"))
        self.refused(write_saved_model(tmp_path / "m", functions=[evil, SAVE, RESTORE]), "reached from the node 'call'")

    def test_not_from_another_node(self, tmp_path: Path) -> None:
        evil = node("init_2", "StatefulPartitionedCall", calls="traced_save")
        self.refused(write_saved_model(tmp_path / "m", nodes=[evil]), "reached from the node 'init_2'")

    def test_not_by_waiting_for_the_savers_node(self, tmp_path: Path) -> None:
        evil = node("late", "NoOp", ["^call_1"])
        self.refused(write_saved_model(tmp_path / "m", nodes=[evil]), "reached from the node 'late'")

    def test_not_as_the_init_op(self, tmp_path: Path) -> None:
        self.refused(write_saved_model(tmp_path / "m", init="call_1"), "reached from the node 'call_1'")

    def test_not_as_the_output_of_the_signature(self, tmp_path: Path) -> None:
        self.refused(write_saved_model(tmp_path / "m", served="call_1:0"), "reached from the node 'call_1'")

    def test_not_from_the_object_graph(self, tmp_path: Path) -> None:
        self.refused(write_saved_model(tmp_path / "m", objects=["serve_fn", "traced_save"]), "model's own functions")

    def test_not_in_a_frozen_graph(self) -> None:
        with pytest.raises(ImportRefused, match="SaveV2"):
            saved_model_scan.scan_graph(graph([node("it", "SaveV2")]), "x.keras")


@pytest.mark.parametrize("asset", ["../outside.txt", "/etc/passwd", "a/../../b", "..\\b", "C:\\x", "\\\\host\\x"])
def test_assets_outside_of_the_folder_are_refused(tmp_path: Path, asset: str) -> None:
    saved_model_scan.scan(write_saved_model(tmp_path / "good", assets=["labels.txt", "a..b"]))
    with pytest.raises(ImportRefused, match="outside of its folder"):
        saved_model_scan.scan(write_saved_model(tmp_path / "bad", assets=["labels.txt", asset]))


def test_other_kinds_of_saved_models_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="TensorFlow 1"):
        saved_model_scan.scan(write_saved_model(tmp_path / "v1", object_graph=False))
    with pytest.raises(ImportRefused, match="2 graphs"):
        saved_model_scan.scan(write_saved_model(tmp_path / "two", graphs=2))
    text_format = tmp_path / "text"
    text_format.mkdir()
    with pytest.raises(ModelFileError, match="not a SavedModel"):
        saved_model_scan.scan(text_format)
    (text_format / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    with pytest.raises(ImportRefused, match="text format"):
        saved_model_scan.scan(text_format)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_saved_model(tmp_path / "model")
    monkeypatch.setattr(saved_model_scan, "MAX_NODES", 8)
    with pytest.raises(ModelFileError, match="more than 8 nodes"):
        saved_model_scan.scan(folder)
    monkeypatch.setattr(saved_model_scan, "MAX_FOLDER_BYTES", 1000)
    (folder / "variables").write_bytes(bytes(1000))
    with pytest.raises(ImportRefused, match="too large"):
        saved_model_scan.scan(folder)


def test_mutated_files_pass_or_are_told(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "model")
    content = (folder / "saved_model.pb").read_bytes()
    refused = 0
    for seed in range(300):
        (folder / "saved_model.pb").write_bytes(mutated(content, seed))
        try:
            saved_model_scan.scan(folder)
        except (ModelFileError, ImportRefused):
            refused += 1
    assert 200 < refused < 300


def test_a_damaged_graph_is_told_with_its_file(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "model")
    content = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(content[:-20])
    with pytest.raises(ModelFileError, match=r"model/saved_model.pb is damaged"):
        saved_model_scan.scan(folder)
