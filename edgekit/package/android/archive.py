"""The ZIP archive of an APK: aligned, without dates, and nothing in it that was not asked for.

`zipfile` can write all of this but the alignment. The padding goes into an extra field of its own
(0xD935, as Android's own tools write it). Sizes are known before anything is written, so there are no data descriptors.
The format: PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from edgekit.core.errors import PackageError

PAGE = 16384  # native libraries are mapped from the archive: devices have pages of 4 or 16 KiB
WORD = 4
STORED, DEFLATED = 0, 8
MAX_SIZE = (1 << 31) - 1  # Android's limit on what it maps, well below ZIP's own

_VERSION = 20
_UTF8_NAME = 1 << 11
_DATE, _TIME = (1981 - 1980) << 9 | 1 << 5 | 1, 1 << 11 | 1 << 5 | 1  # 1981-01-01 01:01:02, as Gradle has it
_ALIGNMENT_FIELD = 0xD935
_SMALLEST_FIELD = 6


@dataclass(frozen=True)
class Entry:
    """A file of the archive. Only stored ones are aligned: their content lies at a multiple of `alignment`."""

    name: str
    content: bytes | memoryview
    method: int = DEFLATED
    alignment: int = WORD


def write(stream: BinaryIO, entries: Iterable[Entry]) -> tuple[bytes, bytes]:
    """Write the entries from the stream's start on.

    Returns:
        The central directory and the end record, which are not written: a signature goes before them.

    Raises:
        PackageError: the archive would be larger than Android takes.
    """
    directory, count, at = bytearray(), 0, 0
    for entry in entries:
        name = entry.name.encode()
        content = memoryview(entry.content)
        packed = content if entry.method == STORED else _deflated(content)
        size = len(packed)
        padding = b"" if entry.method == DEFLATED else _padding(at + 30 + len(name), entry.alignment)
        start = at
        at += 30 + len(name) + len(padding) + size
        if at > MAX_SIZE:
            raise PackageError("The package would be larger than 2 GB; Android takes no such.", "Use a smaller model.")
        flags = 0 if entry.name.isascii() else _UTF8_NAME
        common = struct.pack(
            "<HHHHHIIIHH", _VERSION, flags, entry.method, _TIME, _DATE, zlib.crc32(content), size, len(content),
            len(name), len(padding),
        )
        stream.write(b"PK\3\4" + common + name + padding)
        stream.write(packed)
        # The padding of the local header need not be repeated here.
        directory += b"PK\1\2" + struct.pack("<H", _VERSION) + common[:-2]
        directory += struct.pack("<HHHHII", 0, 0, 0, 0, 0, start) + name
        count += 1
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), at, 0)
    return bytes(directory), end


def _deflated(content: memoryview) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _padding(at: int, alignment: int) -> bytes:
    """The extra field after which position `at` has moved to a multiple of `alignment`."""
    if at % alignment == 0:
        return b""
    size = -at % alignment
    while size < _SMALLEST_FIELD:
        size += alignment
    return struct.pack("<HHH", _ALIGNMENT_FIELD, size - 4, alignment) + bytes(size - _SMALLEST_FIELD)
