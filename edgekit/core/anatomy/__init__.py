"""What is inside a model file: `anatomy(path)`. Nothing of the model is run."""

from __future__ import annotations

from pathlib import Path

from edgekit.core.anatomy.result import Anatomy, Tensor, Weight, WeightKind
from edgekit.core.errors import EdgekitError, ModelFileError
from edgekit.runtime.modelfile import sniff
from edgekit.runtime.spec import printable

__all__ = ["Anatomy", "Tensor", "Weight", "WeightKind", "anatomy"]


def anatomy(path: Path) -> Anatomy:
    """Take stock of a `.tflite`, `.onnx` or `.keras` file.

    The parsers of ONNX and HDF5 are native code: give a file of unknown origin to a child process.

    Raises:
        ModelFileError: the file is missing, damaged or of another kind.
        MissingExtraError: the package that reads this kind is not installed.
    """
    kind = sniff(path)
    try:
        if kind == "tflite":
            from edgekit.core.anatomy import tflite_file

            return tflite_file.read(path)
        if kind == "onnx":
            from edgekit.core.anatomy import onnx_file

            return onnx_file.read(path)
        if kind == "keras":
            from edgekit.core.anatomy import keras_file

            return keras_file.read(path)
    except EdgekitError:
        raise
    except Exception as error:  # readers without a verifier raise anything on damaged files
        raise ModelFileError(f"{printable(str(path))} is a damaged .{kind} file ({type(error).__name__}).",
                             "Copy it again, or convert the model again.") from error
    raise ModelFileError(f"{printable(str(path))} is no .tflite, .onnx or .keras file (it looks like: {kind}).",
                         "Files of other kinds become a .keras or .tflite file with: edgekit import")
