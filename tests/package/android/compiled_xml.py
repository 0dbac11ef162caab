"""Writes compiled Android XML by hand, as aapt2 would, with either encoding of the strings."""

from __future__ import annotations

import struct

from edgekit.package.android.axml import ANDROID, TYPE_INTEGER, TYPE_REFERENCE, TYPE_STRING

# An attribute: namespace, name, type, value (text for strings).
Given = tuple[str, str, int, str | int]

LABEL, VERSION_CODE, VERSION_NAME, AUTHORITIES = 0x01010001, 0x0101021B, 0x0101021C, 0x01010018
MANIFEST: list[tuple[str, list[Given]] | None] = [
    ("manifest", [
        (ANDROID, "versionCode", TYPE_INTEGER, 1),
        (ANDROID, "versionName", TYPE_STRING, "1.0"),
        ("", "package", TYPE_STRING, "ai.edgekit.demo"),
    ]),
    ("application", [(ANDROID, "label", TYPE_REFERENCE, 0x7F020000)]),
    ("provider", [(ANDROID, "authorities", TYPE_STRING, "ai.edgekit.demo.reports;other.one")]),
    None,
    ("activity", [(ANDROID, "label", TYPE_STRING, "1.0")]),
    None,
    None,
    None,
]
RESOURCES = {"label": LABEL, "versionCode": VERSION_CODE, "versionName": VERSION_NAME, "authorities": AUTHORITIES}


def compiled(nodes: list[tuple[str, list[Given]] | None] | None = None, utf8: bool = False) -> bytes:
    """A document: each node starts an element with its attributes, or (None) ends the innermost one."""
    nodes = MANIFEST if nodes is None else nodes
    strings = list(RESOURCES)  # the strings with resource ids come first

    def index(text: str) -> int:
        if text not in strings:
            strings.append(text)
        return strings.index(text)

    open_elements: list[str] = []
    body = chunk(0x0100, 16, struct.pack("<IIII", 1, 0xFFFFFFFF, index("android"), index(ANDROID)))
    for node in nodes:
        if node is None:
            body += chunk(0x0103, 16, struct.pack("<IIII", 1, 0xFFFFFFFF, 0xFFFFFFFF, index(open_elements.pop())))
            continue
        name, attributes = node
        open_elements.append(name)
        content = struct.pack("<IIII6H", 1, 0xFFFFFFFF, 0xFFFFFFFF, index(name), 20, 20, len(attributes), 0, 0, 0)
        for space, title, kind, value in attributes:
            data = index(value) if isinstance(value, str) else value
            raw = data if isinstance(value, str) else 0xFFFFFFFF
            where = index(space) if space else 0xFFFFFFFF
            content += struct.pack("<IIIHBBI", where, index(title), raw, 8, 0, kind, data)
        body += chunk(0x0102, 16, content)
    body += chunk(0x0101, 16, struct.pack("<IIII", 1, 0xFFFFFFFF, index("android"), index(ANDROID)))
    ids = chunk(0x0180, 8, struct.pack(f"<{len(RESOURCES)}I", *RESOURCES.values()))
    return chunk(0x0003, 8, pool(strings, utf8) + ids + body)


def chunk(kind: int, header: int, content: bytes) -> bytes:
    return struct.pack("<HHI", kind, header, 8 + len(content)) + content


def pool(strings: list[str], utf8: bool) -> bytes:
    offsets, data = [], b""
    for text in strings:
        offsets.append(len(data))
        units = len(text.encode("utf-16-le")) // 2
        if utf8:
            encoded = text.encode()
            data += _short(units) + _short(len(encoded)) + encoded + b"\0"
        else:
            data += struct.pack("<H", units) + text.encode("utf-16-le") + b"\0\0"
    data += bytes(-len(data) % 4)
    start = 28 + 4 * len(strings)
    head = struct.pack("<IIIII", len(strings), 0, 0x100 if utf8 else 0, start, 0)
    return chunk(0x0001, 28, head + struct.pack(f"<{len(offsets)}I", *offsets) + data)


def _short(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else bytes([0x80 | length >> 8, length & 0xFF])
