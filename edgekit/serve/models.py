"""The models that are served: opened by their files' specs, and named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import probe
from edgekit.core.errors import EdgekitError, ModelFileError, SpecError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import ModelSpec, printable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = "1"  # of every model; the protocols want one
PLATFORMS = {"tflite": "tensorflow_lite", "onnx": "onnxruntime_onnx"}


@dataclass(frozen=True)
class ServedModel:
    """A model file with its spec, under the name that requests use; `platform` is the Open Inference Protocol's."""

    name: str
    path: Path
    spec: ModelSpec
    sha256: str
    platform: str

    @property
    def input_name(self) -> str:
        """What the protocols call the input."""
        return self.spec.input.name or "image"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of the model's own input without the batch axis."""
        image = self.spec.input
        if image.layout == "NCHW":
            return image.channels, image.height, image.width
        return image.height, image.width, image.channels

    @property
    def verdict(self) -> str:
        """What `edgekit validate --stamp` found: pass, fail, inconclusive; stale when of another model, or none."""
        found = self.spec.verdict
        if found is None:
            return "none"
        return found.outcome if found.model_sha256 == self.sha256 else "stale"


def open_models(arguments: Sequence[str | Path]) -> tuple[ServedModel, ...]:
    """Open models named as `path` (the name is that of the file, without its ending) or `NAME=path`.

    Each file is tried in a child process first, unless this machine knows it.

    Raises:
        EdgekitError: a file is damaged, of another kind or without a spec, or two have the same name.
    """
    if not arguments:
        raise ModelFileError("There is no model to serve.", "Name at least one .tflite or .onnx file.")
    found: dict[str, ServedModel] = {}
    for argument in arguments:
        model = _open(*_split(argument))
        if model.name in found:
            raise EdgekitError(
                f"Two models are called {model.name}: {printable(str(found[model.name].path))} and "
                f"{printable(str(model.path))}.",
                "Name one of them otherwise: NAME=path",
            )
        found[model.name] = model
    return tuple(found.values())


def _split(argument: str | Path) -> tuple[str, Path]:
    name, equals, path = str(argument).partition("=")
    if equals and path and NAME.fullmatch(name):
        return name, Path(path)
    name = Path(argument).stem
    if not NAME.fullmatch(name):
        raise EdgekitError(
            f"{printable(str(argument))} gives no name that a URL can carry.",
            "Give it one of letters, digits, dots, hyphens and underscores: NAME=path",
        )
    return name, Path(argument)


def _open(name: str, path: Path) -> ServedModel:
    kind = modelfile.sniff(path)
    if kind not in PLATFORMS:
        hint = "Convert it first: edgekit convert" if kind in ("keras", "h5", "savedmodel") else ""
        raise ModelFileError(f"{printable(str(path))} is not a .tflite or .onnx file (it looks like: {kind}).", hint)
    spec = modelfile.read_spec(path)
    if spec is None:
        raise SpecError(
            f"{printable(str(path))} carries no edgekit spec, so nothing says how to feed it.",
            f"Give it one with: edgekit import {printable(str(path))} --labels … -o …",
        )
    probe.vet(path)
    return ServedModel(name, path, spec, modelfile.digest(path), PLATFORMS[kind])
