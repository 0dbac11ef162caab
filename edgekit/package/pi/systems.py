"""Which systems a bundle runs on, and what pip installs there.

A TensorFlow Lite runtime exists as a wheel for 64-bit Linux (LiteRT), and in an old version, tflite-runtime 2.14, for
Python 3.11 on 64-bit and 32-bit. ONNX Runtime has 64-bit wheels only.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core import tflite_runtimes
from edgekit.core.errors import PackageError
from edgekit.package.checks import CheckedModel
from edgekit.runtime.spec import printable

LITERT, TFLITE, ONNX = "litert", "tflite-runtime", "onnxruntime"
TFLITE_VERSION = "2.14.0"

# Markers; a 32-bit Python may run on a 64-bit kernel, so install.sh shows it as the 32-bit machine that it is.
_WIDE = 'platform_machine == "aarch64" or platform_machine == "x86_64"'
_NARROW = 'platform_machine == "armv7l" or platform_machine == "armv8l"'
# numpy is the version that the distribution has: picamera2 and OpenCV come from there, built for it, and a
# newer one in the bundle's environment would break them. The others are the newest that work with it.
_NUMPY = (
    ("1.24.2", 'python_version == "3.11"'),  # Debian 12
    ("1.26.4", 'python_version == "3.12"'),  # Ubuntu 24.04
    ("2.2.4", 'python_version == "3.13"'),  # Debian 13
    ("2.4.6", 'python_version >= "3.14"'),
)
_ML_DTYPES = (
    ("0.5.4", 'python_version < "3.14"'),  # 0.6 wants numpy 2
    ("0.6.0", 'python_version >= "3.14"'),
)
_EVERYWHERE = ("paho-mqtt==2.2.0",)
_PILLOW = (("==13.0.0", _WIDE), (">=9.4", _NARROW))  # 32-bit: Debian's own, for there are no wheels


@dataclass(frozen=True)
class Systems:
    """What a bundle runs on.

    Attributes:
        runtime: of 64-bit systems: `litert`, `tflite-runtime` or `onnxruntime`.
        wide, narrow: the Python versions (as 3.11) on 64-bit systems, and on 32-bit ones, which may be none.
        why_not_narrow: the reason for none, in a sentence.
    """

    runtime: str
    wide: tuple[str, ...]
    narrow: tuple[str, ...]
    why_not_narrow: str

    def sentences(self) -> list[str]:
        """What the user should know before anything is copied."""
        found = [f"64-bit: Python {' or '.join(_shortened(self.wide))}"]
        if self.narrow:
            found.append(
                f"32-bit: Python {', '.join(self.narrow)} only (Raspberry Pi OS 12, bookworm), with tflite-runtime "
                f"{TFLITE_VERSION}; Python 3.13 has no wheel of a runtime there"
            )
        else:
            found.append(f"32-bit: not supported. {self.why_not_narrow}")
        return found

    def requirements(self) -> str:
        """The content of requirements.txt."""
        lines = ["# What this bundle was tested with. install.sh hands it to pip.", *_runtime_lines(self)]
        lines += [f"numpy=={version} ; {marker}" for version, marker in _NUMPY]
        lines += [f"pillow{version} ; {marker}" for version, marker in _PILLOW]
        return "\n".join([*lines, *_EVERYWHERE]) + "\n"


def choose(model: CheckedModel, runtime: str | None) -> Systems:
    """Where a model can run, and rightly.

    Args:
        model: the model.
        runtime: `litert` or `tflite-runtime` for a `.tflite` file; None takes LiteRT.

    Raises:
        PackageError: not with this runtime; the message names the operator and its version, or what goes wrong.
    """
    name = printable(model.path.name)
    if model.kind == "onnx":
        if runtime is not None:
            raise PackageError(f"{name} is an ONNX file, which ONNX Runtime runs.", "Leave out --runtime.")
        return Systems(ONNX, ("3.11", "3.12", "3.13", "3.14"), (), "ONNX Runtime has no wheels for it: take a .tflite "
                       "file.")
    reason = _not_on_old(model)
    if runtime == TFLITE:
        if reason is not None:
            raise PackageError(f"{name} cannot run on tflite-runtime {TFLITE_VERSION}: {reason}.",
                               "Convert it with --quantize float16 or none, or package it for LiteRT (64-bit).")
        return Systems(TFLITE, ("3.11",), ("3.11",), "")
    why = "" if reason is None else f"It has only tflite-runtime {TFLITE_VERSION}, and this model: {reason}."
    return Systems(LITERT, ("3.11", "3.12", "3.13", "3.14"), () if why else ("3.11",), why)


def _not_on_old(model: CheckedModel) -> str | None:
    """Why tflite-runtime 2.14 does not run the model, or runs it wrongly; None: it runs it."""
    if (unfit := tflite_runtimes.unfit(model.path, TFLITE_VERSION)) is not None:
        return f"it has {unfit.what}, and that runtime {unfit.does} it"
    if (newer := tflite_runtimes.too_new(model.path, TFLITE_VERSION)) is not None:
        return f"it uses {newer[0]}, and that runtime {newer[1]}"
    return None


def _runtime_lines(systems: Systems) -> list[str]:
    both = f"{_WIDE} or {_NARROW}"
    if systems.runtime == ONNX:
        return [f"onnxruntime==1.31.1 ; {_WIDE}", "flatbuffers==25.12.19", "packaging==26.3", "protobuf==7.36.2"]
    if systems.runtime == TFLITE:
        return [f"tflite-runtime=={TFLITE_VERSION} ; {both}"]
    lines = [f"ai-edge-litert==2.3.0 ; {_WIDE}"]
    lines += [f"ml-dtypes=={version} ; ({_WIDE}) and {marker}" for version, marker in _ML_DTYPES]
    lines += [f"{pinned} ; {_WIDE}" for pinned in ("backports-strenum==1.2.8", "flatbuffers==25.12.19",
                                                   "protobuf==7.36.2", "tqdm==4.70.1", "typing-extensions==4.16.0")]
    if systems.narrow:
        lines.append(f"tflite-runtime=={TFLITE_VERSION} ; {_NARROW}")
    return lines


def _shortened(versions: tuple[str, ...]) -> list[str]:
    """Three and more versions in a row as a range."""
    return [f"{versions[0]} to {versions[-1]}"] if len(versions) > 2 else list(versions)
