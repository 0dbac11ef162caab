"""What is inside a model file: `anatomy(path)`, and `read_graphs(path)`. Nothing of the model is run."""

from __future__ import annotations

from pathlib import Path

from edgekit.core import child
from edgekit.core.anatomy.graph import Graph, GraphOperator, GraphTensor
from edgekit.core.anatomy.read import read, read_graphs
from edgekit.core.anatomy.result import Anatomy, Tensor, Weight, WeightKind, from_json
from edgekit.core.errors import ChildCrashed, ChildLimit, ModelFileError
from edgekit.runtime.modelfile import sniff
from edgekit.runtime.spec import printable

__all__ = [
    "Anatomy", "Graph", "GraphOperator", "GraphTensor", "Tensor", "Weight", "WeightKind", "anatomy", "read_graphs",
]

TIME_LIMIT = 120.0  # seconds
MEMORY_LIMIT = 4 << 30  # bytes, and eight times the file


def anatomy(path: Path) -> Anatomy:
    """Take stock of a `.tflite`, `.onnx` or `.keras` file.

    HDF5 crashes or hangs on damaged files (measured: within 30 random mutations of one), and ONNX's shape
    inference is native code too: both are read in a child process, within limits.

    Raises:
        ModelFileError: the file is missing, damaged or of another kind.
        MissingExtraError: the package that reads this kind is not installed.
        RuntimeMissingError: ai-edge-litert, which knows TFLite's schema, is not installed.
    """
    if sniff(path) not in ("onnx", "keras"):
        return read(path)
    name = printable(str(path))
    try:
        found = child.call("edgekit.core.anatomy.read:read_as_json", path=str(path), timeout=TIME_LIMIT,
                           memory=MEMORY_LIMIT + 8 * path.stat().st_size, purpose=f"Inspecting {name}")
    except (ChildCrashed, ChildLimit) as error:
        raise ModelFileError(f"{name} is damaged: its reader crashed or ran out of time or memory.",
                             "Copy it again, or convert the model again.") from error
    return from_json(found)
