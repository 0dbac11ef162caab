"""Try an unknown model file in a child process before this process touches it.

A model file is a program, and interpreters crash on bad ones (measured: 10 segmentation faults in 3,000 byte-mutated
copies of one `.tflite`). A file whose digest this machine has vetted before, with the interpreters of today, is not
tried again.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from edgekit.core import child, files, versions
from edgekit.core.errors import ChildCrashed, ChildLimit, ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

TIMEOUT = 120.0
MEMORY = 8 << 30
INTERPRETERS = ("ai-edge-litert", "tflite-runtime", "onnxruntime")
OPEN_SIZE = (224, 224)  # most image models can be run at it


def vet(path: Path, size: tuple[int, int] | None = None) -> None:
    """Make sure that a `.tflite` or `.onnx` file can be loaded and run once; other kinds have checks of their own.

    Args:
        path: the file.
        size: height and width to run it at where it leaves them open and carries no spec.

    Raises:
        ModelFileError: it is missing, damaged, refused by the interpreter, or takes it down.
    """
    if modelfile.sniff(path) not in ("tflite", "onnx"):
        return
    name = _name(path)  # of the file as it is before it is tried: what replaces it meanwhile is another one
    if _is_vetted(name):
        return
    try:
        child.call(
            "edgekit.core.probe:load_and_run",
            timeout=TIMEOUT,
            memory=MEMORY + 4 * path.stat().st_size,
            purpose=f"Loading {printable(path.name)}",
            path=str(path),
            size=size or OPEN_SIZE,
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
    _mark(name)


def mark_vetted(path: Path) -> None:
    """Remember a file that this process has made and run itself."""
    _mark(_name(path))


def load_and_run(path: str, size: tuple[int, int]) -> None:
    """In the child: load the file and run it once on zeros."""
    import numpy as np

    from edgekit.runtime.interpreters import open_interpreter

    interpreter = open_interpreter(Path(path))
    spec = modelfile.read_spec(Path(path))
    declared, sides = interpreter.input.shape, spec.size if spec is not None else size
    usual = (1, 3, *sides) if len(declared) == 4 and declared[3] not in (1, 3) else (1, *sides, 3)
    shape = [side or other for side, other in zip_longest(declared, usual[: len(declared)], fillvalue=1)]
    try:
        zeros = np.zeros(shape, interpreter.input.dtype)
    except TypeError as error:
        taken = printable(interpreter.input.dtype)
        raise ModelFileError(f"{printable(path)} takes {taken}, which is no kind of image.") from error
    interpreter.run(zeros)


def _name(path: Path) -> str:
    """What a file is remembered by: its digest, and that of the interpreters' versions, since another may crash."""
    interpreters = hashlib.sha256(repr(sorted(versions.of(*INTERPRETERS).items())).encode()).hexdigest()
    return f"{files.sha256(path)}-{interpreters[:16]}"


def _is_vetted(name: str) -> bool:
    try:
        return (files.cache_dir() / "vetted" / name).exists()
    except OSError:  # a cache that cannot be used only costs time
        return False


def _mark(name: str) -> None:
    with suppress(OSError):  # as above
        folder = files.cache_dir() / "vetted"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
