"""ONNX files that were changed in memory, and ONNX Runtime on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgekit.core.errors import MissingExtraError, ModelFileError
from edgekit.runtime.spec import printable


def load_graph(path: Path) -> Any:
    """The ModelProto of a file that has been vetted.

    Raises:
        MissingExtraError: `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Looking at the layers of an ONNX file", "onnx", "onnx") from error
    return onnx.load(os.fspath(path))


def open_session(model: Any, name: str, threads: int) -> Any:
    """An onnxruntime.InferenceSession on the CPU for a ModelProto; `name` is what errors call it.

    Raises:
        ModelFileError: ONNX Runtime refuses it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ModelFileError(f"ONNX Runtime refuses {printable(name)}: {error}") from error
