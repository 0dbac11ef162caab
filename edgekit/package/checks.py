"""What a model must be before it is packaged for any device."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import probe
from edgekit.core.errors import OutputError, PackageError
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import ModelSpec, printable

# What is wrong with each state of a verdict but `pass`.
_VERDICTS = {
    "none": "carries no verdict: nothing says that it answers like its reference",
    "stale": "carries a stale verdict: the model has changed since",
    "fail": "has failed its validation",
    "inconclusive": "was validated on too few images to tell whether it answers like its reference",
}
_MORE_IMAGES = "With more images: "


@dataclass(frozen=True)
class CheckedModel:
    """A file that can be packaged: `tflite` or `onnx`, its spec, the model's digest, and the state of its verdict."""

    path: Path
    kind: str
    spec: ModelSpec
    digest: str
    verdict: str


def check_model(path: Path, *, ungated: bool, runner: str = "the app", onnx: bool = False) -> CheckedModel:
    """Look at a model: whether it runs here, whether its spec fits it, and what its validation found.

    Args:
        path: the file.
        ungated: whether a verdict that is not `pass` is accepted.
        runner: what will run the model, for messages.
        onnx: whether it runs `.onnx` files, too.

    Raises:
        ModelFileError: the file is missing or damaged.
        SpecError: it carries no spec, or one that does not fit it, its labels included.
        PackageError: it is of another kind, or its verdict is missing, stale or not `pass`.
    """
    name = printable(str(path))
    quoted = shlex.quote(name)
    kind = modelfile.sniff(path)
    runs = ".tflite and .onnx files" if onnx else ".tflite files"
    if kind == "onnx" and not onnx:
        raise PackageError(
            f"{name} is an ONNX file; {runner} runs {runs} only.",
            "Convert the Keras model that it was made from: edgekit convert SOURCE.keras -o MODEL.tflite",
        )
    if kind in ("keras", "h5", "savedmodel"):
        raise PackageError(
            f"{name} is a Keras model; {runner} runs {runs} only.",
            f"Convert it first: edgekit convert {quoted} -o MODEL.tflite",
        )
    if kind not in ("tflite", "onnx"):
        raise PackageError(f"{name} is no .tflite file, or a damaged one.", "Name one that edgekit convert has made.")
    probe.vet(path)
    spec = Classifier(path).spec
    digest = modelfile.digest(path)
    state = spec.verdict_state(digest)
    if state != "pass" and not ungated:
        more = _MORE_IMAGES if state == "inconclusive" else ""
        raise PackageError(
            f"{name} {_VERDICTS[state]}.",
            f"{more}edgekit validate REFERENCE {quoted} --data IMAGES --stamp; --ungated packages it as it is.",
        )
    return CheckedModel(path, kind, spec, digest, state)


def check_apart(output: Path, sources: Sequence[Path | None]) -> None:
    """Raise OutputError when the output is one of the files that it is made from."""
    for source in sources:
        if source is not None and output.exists() and source.exists() and os.path.samefile(output, source):
            raise OutputError(f"{printable(str(output))} is itself needed for the package.", "Choose another -o.")
