"""How a native library wants its memory pages aligned."""

from __future__ import annotations

import struct

LOAD = 1


def page_size(content: bytes) -> int:
    """The smallest alignment of an ELF file's LOAD segments, in bytes: 4096 does not load where pages have 16 KiB.

    Raises:
        ValueError: not an ELF file, or one without such a segment.
    """
    if content[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    # Offsets in the file's header and in a program header: ELF-64 or ELF-32 (elf(5)).
    word, table, sizes, alignment = ("<Q", 32, 54, 48) if content[4] == 2 else ("<I", 28, 42, 28)
    (start,) = struct.unpack_from(word, content, table)
    size, count = struct.unpack_from("<HH", content, sizes)
    headers = range(start, start + size * count, size)
    loads = [at for at in headers if struct.unpack_from("<I", content, at)[0] == LOAD]
    return min(int(struct.unpack_from(word, content, at + alignment)[0]) for at in loads)
