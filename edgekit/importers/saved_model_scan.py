"""Check a TensorFlow SavedModel folder before anything loads it, without TensorFlow.

A SavedModel is a program: its operators can read and write files, open connections and call back into Python, and some
of them run while it is loaded. So its graph and every function in its library are walked first, and a file with such
an operator anywhere is refused; nothing an image classifier computes with is among them (`REFUSED_OPERATORS`).

The one exception is the saver that each SavedModel carries for its own variables: SaveV2, RestoreV2, MergeV2Checkpoints
and ShardedFilename (`SAVER_OPERATORS`). They are accepted only in functions that nothing but the saver's own two
nodes (SaverDef.save_tensor_name and .restore_op_name) calls: no signature, no init op, no other node, and no object of
the object graph, which names every function that loading or serving can run. TensorFlow's loader does not run
the saver's nodes: it restores variables with operators of its own making, from variables/ alone.

Message and field numbers: tensorflow/core/protobuf/{saved_model,meta_graph,saver,saved_object_graph}.proto and
tensorflow/core/framework/{graph,function,node_def,attr_value}.proto.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.runtime.protobuf import embedded, fields, text
from edgekit.runtime.spec import printable

MAX_GRAPH_BYTES = 1 << 30
MAX_FOLDER_BYTES = 16 << 30
MAX_FILES = 10_000
MAX_NODES = 2_000_000

SAVER_OPERATORS = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})

# What an operator of the name would do, and the names (checked against all 1,908 operators of TensorFlow 2.21).
REFUSED_OPERATORS = tuple((what, re.compile("|".join(names))) for what, names in (
    ("runs Python code", (".*PyFunc.*",)),
    ("reads or writes files", (
        "ReadFile", "WriteFile", "MatchingFiles", "RecordInput", "ImmutableConst", "Skipgram", "DumpTensor",
        "Save(Slices|V2)?", "DistributedSave", "(DTensor)?Restore(Slice|V2)?", "ShardedFile(name|spec)",
        ".*Checkpoint.*", "InitializeTableFromTextFile(V2)?", "GenerateVocabRemapping", "LoadAndRemapMatrix",
        "FixedUnigramCandidateSampler", "DecodeProtoV2", "EncodeProto", "CalibrationStatisticsSaver",
        "FileSystemSetConfiguration", "GcsConfigure.*", ".*TRT.*",
    )),
    ("belongs to a data pipeline", (".*Reader.*", ".*Dataset.*", ".*Iterator.*", ".*MemoryCache", "Experimental.*")),
    ("writes a log", (".*SummaryWriter", "CreateSummary.*", "Write.*Summary", "ImportEvent", "StatsAggregator.*")),
    ("talks to other processes or devices", (
        ".*Rpc.*", "RemoteCall", "_?(Host)?(Send|Recv)", "Collective.*", "_?Nccl.*", ".*(TPU|Tpu).*",
        "(Infeed|Outfeed).*", "WorkerHeartbeat", "BigQuery.*",
    )),
    ("runs code that edgekit cannot check", ("_?Xla.*", "MlirPassthroughOp")),
    ("is part of a debugger", ("Debug.*", "Copy(Host)?")),
    ("ends the process", ("Abort",)),
))
_PRINT_STREAMS = frozenset({"stdout", "stderr", "log(info)", "log(warning)", "log(error)"})
_HINT = "edgekit imports SavedModels that only compute. Export the model again without it, for inference only."


def scan(folder: Path) -> None:
    """Check the SavedModel in `folder`; nothing but saved_model.pb is read.

    Raises:
        ImportRefused: an operator that is refused (the message names it and its node), an asset outside of the
            folder, a text-format or TensorFlow 1 SavedModel, several graphs, or a size beyond the limits.
        ModelFileError: saved_model.pb is missing or damaged.
    """
    name = printable(str(folder))
    graph = folder / "saved_model.pb"
    if not graph.is_file():
        if (folder / "saved_model.pbtxt").is_file():
            raise ImportRefused(f"{name} is a SavedModel in text format (saved_model.pbtxt), which is not supported.",
                                "Save it again with tf.saved_model.save or model.export, which write saved_model.pb.")
        raise ModelFileError(f"{name} is not a SavedModel: it has no saved_model.pb.")
    _check_sizes(folder, graph)
    try:
        _check_saved_model(memoryview(graph.read_bytes()), name)
    except ModelFileError as error:
        raise ModelFileError(f"{name}/saved_model.pb is damaged: {error.message}") from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {name}/saved_model.pb: {error.strerror}.") from error


def scan_graph(graph_def: bytes, name: str) -> None:
    """Check a serialized GraphDef without variables: the same operators are refused, and the saver's with them.

    Raises:
        ImportRefused: an operator that is refused.
        ModelFileError: damaged data.
    """
    try:
        for place, nodes in _functions(memoryview(graph_def)).items():
            for node in nodes:
                _check_operator(node, place, name)
    except ModelFileError as error:
        raise ModelFileError(f"The graph in {name} is damaged: {error.message}") from None


@dataclass(frozen=True)
class _Node:
    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: tuple[memoryview, ...]

    def calls(self) -> set[str]:
        """The functions that the node may run: in its attributes, or by an operator of the function's name."""
        found = {self.op}
        waiting = [value for attribute in self.attributes for value in embedded(attribute, 2)]
        while waiting:
            value = waiting.pop()
            for function in (*embedded(value, 10), *_at(value, 1, 9)):  # AttrValue.func, AttrValue.list.func
                found.update(map(text, embedded(function, 1)))
                waiting += _at(function, 2, 2)
        return found


def _check_sizes(folder: Path, graph: Path) -> None:
    total = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            count += 1
            total += os.path.getsize(os.path.join(parent, name)) if os.path.isfile(os.path.join(parent, name)) else 0
        if count > MAX_FILES or total > MAX_FOLDER_BYTES:
            raise ImportRefused(f"{printable(str(folder))} is too large for a model: more than {MAX_FILES} files"
                                f" or {MAX_FOLDER_BYTES >> 30} GB.")
    if graph.stat().st_size > MAX_GRAPH_BYTES:
        raise ImportRefused(f"{printable(str(graph))} is larger than {MAX_GRAPH_BYTES >> 30} GB.")


def _check_saved_model(data: memoryview, name: str) -> None:
    meta_graphs = list(embedded(data, 2))
    if len(meta_graphs) != 1:
        raise ImportRefused(f"{name} holds {len(meta_graphs)} graphs; edgekit imports SavedModels with one.",
                            "Save it again with tf.saved_model.save or model.export.")
    meta = meta_graphs[0]
    if not any(True for _ in embedded(meta, 7)):
        raise ImportRefused(f"{name} was written by TensorFlow 1, whose SavedModels edgekit does not import.",
                            "Load it with TensorFlow 2 and save it again with tf.saved_model.save.")
    for asset in map(text, _at(meta, 6, 2)):
        if _escapes(asset):
            raise ImportRefused(f"{name} names a file outside of its folder: {printable(asset)[:200]!r}.")

    functions: dict[str, list[_Node]] = {}
    for graph in embedded(meta, 2):
        for place, nodes in _functions(graph).items():
            functions.setdefault(place, []).extend(nodes)
    for place, nodes in functions.items():
        for node in nodes:
            if node.op not in SAVER_OPERATORS:
                _check_operator(node, place, name)
    _check_saver(meta, functions, name)


def _check_saver(meta: memoryview, functions: dict[str, list[_Node]], name: str) -> None:
    """Raise ImportRefused when a saver's operator can be reached from anywhere but the saver's own nodes."""
    savers = {place: next(node for node in nodes if node.op in SAVER_OPERATORS) for place, nodes in functions.items()
              if any(node.op in SAVER_OPERATORS for node in nodes)}
    callers: dict[str, set[str]] = {}
    for place, nodes in functions.items():
        for node in nodes if place else ():
            for called in node.calls() & functions.keys():
                callers.setdefault(called, set()).add(place)
    waiting = list(savers)
    while waiting:  # who calls a saver is one
        place = waiting.pop()
        for caller in callers.get(place, set()) - savers.keys():
            savers[caller] = savers[place]
            waiting.append(caller)
    if not savers:
        return
    if "" in savers:
        _refuse(savers[""], name, "is used outside of the saver")

    own = {_node_name(text(value)) for number in (2, 3) for value in _at(meta, 3, number)}
    served = {_node_name(text(value)) for value in (*_at(meta, 5, 2, 2, 2, 1), *_at(meta, 4, 2, 1, 1))}
    for node in functions[""]:
        reached = node.calls() & savers.keys()
        if reached and (node.name not in own or node.name in served):
            _refuse(savers[reached.pop()], name, f"is reached from the node {printable(node.name)[:100]!r}")
        if own & {_node_name(source) for source in node.inputs}:
            _refuse(next(iter(savers.values())), name, f"is reached from the node {printable(node.name)[:100]!r}")
    for objects in embedded(meta, 7):
        content = bytes(objects)
        for place, node in savers.items():
            if place.encode() in content:
                _refuse(node, name, "is reached from the model's own functions")


def is_refused(operator: str) -> bool:
    """Whether an operator of this name is refused wherever it stands."""
    return any(pattern.fullmatch(operator) for _, pattern in REFUSED_OPERATORS)


def _check_operator(node: _Node, place: str, name: str) -> None:
    if node.op == "PrintV2" and not _prints_to_console(node):
        _refuse(node, name, "writes files")
    for what, pattern in REFUSED_OPERATORS:
        if pattern.fullmatch(node.op):
            _refuse(node, name, what, place)


def _refuse(node: _Node, name: str, what: str, place: str = "") -> None:
    inside = f" of the function {printable(place)[:100]!r}" if place else ""
    raise ImportRefused(f"{name} is refused: the operator {printable(node.op)[:100]}"
                        f" (node {printable(node.name)[:100]!r}{inside}) {what}.", _HINT)


def _prints_to_console(node: _Node) -> bool:
    streams = [text(stream) for attribute in node.attributes for key in embedded(attribute, 1)
               if bytes(key) == b"output_stream" for stream in _at(attribute, 2, 2)]
    return all(stream in _PRINT_STREAMS for stream in streams)


def _functions(graph: memoryview) -> dict[str, list[_Node]]:
    """The nodes of a GraphDef by the function they stand in; the graph's own nodes under the name ""."""
    found = {"": list(_nodes(embedded(graph, 1)))}
    count = len(found[""])
    for function in _at(graph, 2, 1):
        name = ([""] + [text(value) for value in _at(function, 1, 1)])[-1]  # of several, protobuf keeps the last
        nodes = list(_nodes(embedded(function, 3)))
        count += len(nodes)
        if count > MAX_NODES:
            raise ModelFileError(f"it has more than {MAX_NODES} nodes.")
        found.setdefault(name, []).extend(nodes)
    return found


def _nodes(messages: Iterable[memoryview]) -> Iterator[_Node]:
    for index, message in enumerate(messages):
        if index > MAX_NODES:
            raise ModelFileError(f"it has more than {MAX_NODES} nodes.")
        name = op = ""
        inputs: list[str] = []
        attributes: list[memoryview] = []
        for number, _, value in fields(message):
            if isinstance(value, int):
                continue
            if number == 1:
                name = text(value)
            elif number == 2:
                op = text(value)
            elif number == 3:
                inputs.append(text(value))
            elif number == 5:
                attributes.append(value)
        yield _Node(name, op, tuple(inputs), tuple(attributes))


def _at(message: memoryview, *path: int) -> Iterator[memoryview]:
    """The embedded messages at a path of field numbers; a repeated field gives all of its elements."""
    if not path:
        yield message
        return
    for child in embedded(message, path[0]):
        yield from _at(child, *path[1:])


def _node_name(reference: str) -> str:
    """The node that an input, tensor or control input refers to: "node", "node:0", "^node"."""
    return reference.removeprefix("^").partition(":")[0]


def _escapes(filename: str) -> bool:
    windows = PureWindowsPath(filename)
    return bool(windows.drive or windows.root or ".." in windows.parts or PurePosixPath(filename).is_absolute())
