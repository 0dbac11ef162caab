"""Chooses the reader of a file, and gives its failures a name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgekit.core.anatomy import keras_file, onnx_file, tflite_file
from edgekit.core.anatomy.graph import Graph
from edgekit.core.anatomy.result import Anatomy
from edgekit.core.errors import EdgekitError, ModelFileError
from edgekit.runtime.modelfile import sniff
from edgekit.runtime.spec import printable

_READERS = {"tflite": tflite_file.read, "onnx": onnx_file.read, "keras": keras_file.read}


def read(path: Path) -> Anatomy:
    """Read a file in this process; errors as for `edgekit.core.anatomy.anatomy`."""
    kind, name = sniff(path), printable(str(path))
    if kind not in _READERS:
        raise ModelFileError(
            f"{name} is no .tflite, .onnx or .keras file, or a damaged one (it looks like: {kind}).",
            "Files of other kinds become a .keras or .tflite file with: edgekit import",
        )
    try:
        return _READERS[kind](path)
    except EdgekitError:
        raise
    except Exception as error:  # parsers without a verifier raise anything on damaged files
        raise ModelFileError(
            f"{name} is a damaged .{kind} file.", "Copy it again, or convert the model again."
        ) from error


def read_graphs(path: Path) -> tuple[Graph, ...]:
    """The graphs of a `.tflite` file, the main one first.

    Raises:
        ModelFileError: the file is damaged.
        RuntimeMissingError: ai-edge-litert, which knows TFLite's schema, is not installed.
    """
    try:
        return tflite_file.read_graphs(path)
    except EdgekitError:
        raise
    except Exception as error:  # as above
        raise ModelFileError(
            f"{printable(str(path))} is a damaged .tflite file.", "Copy it again, or convert the model again."
        ) from error


def read_as_json(path: str) -> dict[str, Any]:
    """`read` for a child process; `result.from_json` is the way back."""
    return dataclasses.asdict(read(Path(path)))
