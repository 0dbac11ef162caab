"""Try an unknown model file in a child process before this process touches it.

A model file is a program, and interpreters crash on bad ones (measured: 10 segmentation faults in 3,000 byte-mutated
copies of one `.tflite`). A file whose digest this machine has vetted before is not tried again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgekit.core import child, files
from edgekit.core.errors import ChildCrashed, ChildLimit, ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

TIMEOUT = 120.0
MEMORY = 8 << 30


def vet(path: Path) -> None:
    """Make sure that a `.tflite` or `.onnx` file can be loaded and run once; other kinds have checks of their own.

    Raises:
        ModelFileError: it is missing, damaged, refused by the interpreter, or takes it down.
    """
    if modelfile.sniff(path) not in ("tflite", "onnx"):
        return
    mark = _mark(path)
    if mark.exists():
        return
    try:
        child.call(
            "edgekit.core.probe:load_and_run",
            timeout=TIMEOUT,
            memory=MEMORY + 4 * path.stat().st_size,
            purpose=f"Loading {printable(path.name)}",
            path=str(path),
        )
    except ChildCrashed as error:
        raise ModelFileError(
            f"{printable(str(path))} is damaged or hostile: it crashes the interpreter.",
            "Get the file again from its source.",
        ) from error
    except ChildLimit as error:
        raise ModelFileError(
            f"{printable(str(path))} needs more than {TIMEOUT:g} s or {MEMORY >> 30} GB to run once.",
            "Get the file again from its source, or use a smaller model.",
        ) from error
    mark_vetted(path)


def mark_vetted(path: Path) -> None:
    """Remember a file that this process has made and run itself."""
    with suppress(OSError):  # a read-only cache only costs time
        _mark(path).parent.mkdir(parents=True, exist_ok=True)
        _mark(path).touch()


def load_and_run(path: str) -> None:
    """In the child: load the file and run it once on zeros."""
    import numpy as np

    from edgekit.runtime.interpreters import open_interpreter

    interpreter = open_interpreter(Path(path))
    shape = [1, *(side or 1 for side in interpreter.input.shape[1:])]
    spec = modelfile.read_spec(Path(path))
    if spec is not None:  # an open side takes the spec's
        image = spec.input
        sides = (image.height, image.width, image.channels)
        shape = [1, *(sides if image.layout == "NHWC" else (sides[2], *sides[:2]))]
    interpreter.run(np.zeros(shape, interpreter.input.dtype))


def _mark(path: Path) -> Path:
    return files.cache_dir() / "vetted" / files.sha256(path)
