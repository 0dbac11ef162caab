"""The ranges of activations that quantization-aware training has learned, in the `.keras` file that they belong to.

They are one more member of the archive, which Keras ignores. They say nothing about feeding the model, so they are no
part of the spec, and devices never see them: converting uses them up. They are part of the model's digest.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

MEMBER, VERSION = "edgekit_ranges.json", 1
MAX_BYTES, MAX_RANGES = 16 << 20, 100_000
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same inputs give the same bytes

Ranges = dict[str, tuple[float, float]]


def add(path: Path, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Put ranges into a `.keras` file that has none: (low, high) by the name of the layer that gives the activation."""
    document = {"edgekit_ranges": VERSION, "ranges": {name: list(ends) for name, ends in sorted(ranges.items())}}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER, _FIXED_DATE), json.dumps(document, allow_nan=False))


def read(path: Path) -> Ranges | None:
    """The ranges in a model file; None where it has none.

    Raises:
        ModelFileError: they are damaged.
    """
    if modelfile.sniff(path) != "keras":
        return None
    for member, pieces in modelfile.keras_members(path):
        if member.filename == MEMBER:
            if member.file_size > MAX_BYTES:
                raise _damaged(path, f"they are larger than {MAX_BYTES >> 20} MB")
            return _parsed(path, b"".join(pieces))
    return None


def _parsed(path: Path, text: bytes) -> Ranges:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, "they are not valid JSON") from None
    if not isinstance(document, dict) or document.get("edgekit_ranges") != VERSION or set(document) != _FIELDS:
        raise _damaged(path, f"they are not of version {VERSION}")
    ranges = document["ranges"]
    if not isinstance(ranges, dict) or not 0 < len(ranges) <= MAX_RANGES:
        raise _damaged(path, f"there must be 1 to {MAX_RANGES:,} of them, by name")
    found = {}
    for name, ends in ranges.items():
        if not (isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)):
            raise _damaged(path, f"that of {printable(name)[:60]!r} is not two numbers")
        low, high = ends
        if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high and low < high):
            raise _damaged(path, f"that of {printable(name)[:60]!r} is {low:g} to {high:g}, and must hold 0")
        found[name] = (float(low), float(high))
    return found


_FIELDS = {"edgekit_ranges", "ranges"}


def _damaged(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"The learned ranges in {printable(path.name)} are damaged: {reason}.", "Train it again with --qat."
    )
