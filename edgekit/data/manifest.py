"""Manifests: a CSV file with a header `path,label`, or a JSONL file of {"path": …, "label": …}."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.core.errors import DataError
from edgekit.data.items import ImageFiles, Opened, index_labels
from edgekit.runtime.spec import printable

MAX_LINE_BYTES = 1 << 20

Row = tuple[int, Any, Any]  # the line's number, its path, its label (None: it has none)


def open_manifest(manifest: Path) -> Opened:
    """Read a manifest; its paths are relative to its own folder, and its files are not opened yet.

    The labels are text or numbers, without the spaces around them; a manifest in which no line has a label
    is unlabelled. Other columns or fields are ignored.

    Raises:
        DataError: a line is not valid (the message has its number), or there is none.
    """
    paths: list[str] = []
    names: list[str] = []
    for line, path, label in _csv(manifest) if manifest.suffix.lower() == ".csv" else _jsonl(manifest):
        paths.append(_path(path, manifest, line))
        if label is not None:
            names.append(_label(label, manifest, line))
        if len(names) not in (0, len(paths)):
            have, other = ("has a label", "has none") if label is not None else ("has no label", "has one")
            raise _bad(manifest, line, f"{have}, but the line before it {other}", "Label every line, or none.")
    if not paths:
        raise DataError(f"{printable(str(manifest))} names no images.", "It needs at least one line with a path.")
    items = ImageFiles(manifest.parent, paths)
    return Opened(items, *index_labels(names, manifest)) if names else Opened(items)


def _csv(manifest: Path) -> Iterator[Row]:
    reader = csv.reader((text for _, text in _lines(manifest)), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if header.count("path") != 1 or header.count("label") > 1:
            raise _bad(manifest, 1, "is not a header with one column 'path' and at most one 'label'",
                       "Begin the file with the line: path,label")
        path = header.index("path")
        label = header.index("label") if "label" in header else None
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise _bad(manifest, reader.line_num, f"has {len(row)} cells, but the header has {len(header)}",
                           'Put values that contain a comma into "quotes".')
            yield reader.line_num, row[path], None if label is None else row[label]
    except csv.Error as error:
        raise _bad(manifest, reader.line_num, f"is not valid CSV: {error}") from None


def _jsonl(manifest: Path) -> Iterator[Row]:
    for line, text in _lines(manifest):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad(manifest, line, f"is not valid JSON: {error}") from None
        if not isinstance(entry, dict):
            raise _bad(manifest, line, "is not a JSON object", 'Write one {"path": …, "label": …} per line.')
        yield line, entry.get("path"), entry.get("label")


def _lines(manifest: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, without a byte order mark."""
    number = 0
    try:
        with manifest.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise _bad(manifest, number, f"is longer than {MAX_LINE_BYTES >> 20} MB")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _bad(manifest, number, "is not UTF-8 text", "Save the file as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{printable(str(manifest))} cannot be read: {error.strerror or error}.") from None


def _path(value: Any, manifest: Path, line: int) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(manifest, line, "has no path", "The path is the image's file, relative to the manifest.")
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise _bad(manifest, line, f"has a path that no file can have: {printable(value[:80])!r}")
    return value


def _label(value: Any, manifest: Path, line: int) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _bad(manifest, line, "has a label that is neither text nor a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad(manifest, line, "has a label that is not a finite number")
    label = str(value).strip()
    if not label:
        raise _bad(manifest, line, "has an empty label", "Label every line, or remove the column.")
    return label


def _bad(manifest: Path, line: int, problem: str, hint: str = "") -> DataError:
    return DataError(f"{printable(str(manifest))}, line {line} {problem}.", hint)
