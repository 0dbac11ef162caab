"""Android libraries as glibc's loader accepts them: the machine code stays as it is, the table of symbols changes.

Dropped: the tables of symbol versions, and the libraries asked for, other than liblog.so, whose place `bionic.c` takes.
Renamed: the symbols asked for whose meaning differs between Android's C library (bionic) and glibc: their last letter
becomes an X, and `bionic.c` has functions of these names.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOAD, DYNAMIC = 1, 2  # kinds of program headers
NULL, NEEDED, HASH, STRINGS, SYMBOLS = 0, 1, 4, 5, 6  # tags of dynamic entries
VERSIONS = {0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF}
HEADER, ENTRY, SYMBOL = struct.Struct("<IIQQQQQQ"), struct.Struct("<qQ"), struct.Struct("<IBBHQQ")
DIFFERENT = {
    *("fprintf", "vfprintf", "fwrite", "fputc", "fflush", "sysconf", "strerror_r"),
    *(f"pthread_mutex_{verb}" for verb in ("init", "destroy", "lock", "trylock", "unlock")),
    *(f"pthread_cond_{verb}" for verb in ("init", "destroy", "signal", "broadcast", "wait", "timedwait")),
}


@dataclass(frozen=True)
class Segment:
    """A piece of the file and the address that it is loaded to."""

    kind: int
    offset: int
    address: int
    size: int


def debionic(library: bytes) -> bytes:
    """Give the library with its dynamic entries and symbol names changed; `library` is a 64-bit ELF file of Android."""
    if library[:5] != b"\x7fELF\x02":
        raise ValueError("not a 64-bit ELF file")
    content = bytearray(library)
    segments = _segments(content)
    [dynamic] = [one for one in segments if one.kind == DYNAMIC]
    entries = list(ENTRY.iter_unpack(content[dynamic.offset : dynamic.offset + dynamic.size]))
    address = dict(entries)
    strings = _offset(segments, address[STRINGS])

    kept = [
        (tag, value)
        for tag, value in entries
        if tag not in {NULL, *VERSIONS} and not (tag == NEEDED and _text(content, strings + value) != "liblog.so")
    ]
    kept += [(NULL, 0)] * (len(entries) - len(kept))
    for number, entry in enumerate(kept):
        ENTRY.pack_into(content, dynamic.offset + number * ENTRY.size, *entry)

    symbols = _offset(segments, address[SYMBOLS])
    (count,) = struct.unpack_from("<I", content, _offset(segments, address[HASH]) + 4)
    names = set()
    for number in range(count):
        name, _, _, section, _, _ = SYMBOL.unpack_from(content, symbols + number * SYMBOL.size)
        if section == 0:  # asked for, not defined here
            names.add(strings + name)
    for start in names:
        if (name := _text(content, start)) in DIFFERENT:
            content[start + len(name) - 1] = ord("X")
    return bytes(content)


def _segments(content: bytearray) -> list[Segment]:
    (start,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [HEADER.unpack_from(content, start + number * size) for number in range(count)]
    return [Segment(kind, offset, address, length) for kind, _, offset, address, _, length, _, _ in headers]


def _offset(segments: list[Segment], address: int) -> int:
    """Where in the file the byte lies that is loaded to this address."""
    for one in segments:
        if one.kind == LOAD and one.address <= address < one.address + one.size:
            return one.offset + address - one.address
    raise ValueError(f"the address {address:#x} is not in the file")


def _text(content: bytearray, start: int) -> str:
    return content[start : content.index(0, start)].decode()
