"""Compiled Android XML, as far as a manifest needs it: read elements and attributes, change values.

The format is that of `ResXMLTree_header` in AOSP's frameworks/base, libs/androidfw/include/androidfw/ResourceTypes.h:
chunks of (type, header size, size), first a pool of strings, then the resource ids of the first strings, then a flat
list of nodes. Every position is checked: a damaged document gives an AxmlError and nothing else.

Elements and attributes keep their places, for Android wants attributes sorted by resource id. New strings go to the
end of the pool, since several attributes may share one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ANDROID = "http://schemas.android.com/apk/res/android"
MAX_BYTES = 4 << 20
MAX_STRING = 0x7FFF  # UTF-16 code units; longer ones have another form

_STRING_POOL, _XML, _RESOURCE_MAP = 0x0001, 0x0003, 0x0180
_START_NAMESPACE, _END_NAMESPACE, _START_ELEMENT, _END_ELEMENT, _CDATA = range(0x0100, 0x0105)
_UTF8 = 1 << 8
_NO_INDEX = 0xFFFFFFFF
_ATTRIBUTE_SIZE = 20

# Res_value.dataType
TYPE_REFERENCE, TYPE_STRING, TYPE_INTEGER = 0x01, 0x03, 0x10


class AxmlError(Exception):
    """The document is damaged, or not what edgekit writes into a template."""


@dataclass(frozen=True)
class Attribute:
    """An attribute: `text` of a string, `number` of everything else (an integer, a reference, a boolean)."""

    namespace: str
    name: str
    type: int
    text: str
    number: int
    position: int


@dataclass(frozen=True)
class Element:
    """The start of an element; `path` names it and those around it, as in `manifest/application/activity`."""

    path: str
    attributes: tuple[Attribute, ...]

    def attribute(self, name: str, namespace: str = ANDROID) -> Attribute | None:
        """Its attribute of this name; None when it has none."""
        return next((one for one in self.attributes if (one.namespace, one.name) == (namespace, name)), None)

    def required(self, name: str, namespace: str = ANDROID) -> Attribute:
        """Its attribute of this name.

        Raises:
            AxmlError: it has none.
        """
        found = self.attribute(name, namespace)
        if found is None:
            raise AxmlError(f"<{self.path.rpartition('/')[2]}> has no attribute {name}")
        return found


class Document:
    """A compiled XML document: `elements` in their order, and changes of their attributes' values."""

    def __init__(self, content: bytes) -> None:
        """Read a document.

        Raises:
            AxmlError: it is damaged.
        """
        if len(content) > MAX_BYTES:
            raise AxmlError(f"it has {len(content):,} bytes")
        self._strings: list[str] = []
        self._resources = b""  # the whole chunk
        self._nodes = bytearray()
        try:
            self._read(content)
            self.elements = tuple(self._elements())
        except (struct.error, IndexError, ValueError) as error:
            raise AxmlError("its tables point outside of it") from error

    def set_string(self, attribute: Attribute, text: str) -> None:
        """Give an attribute this text, whatever it held before.

        Raises:
            AxmlError: the text is too long, or no text.
        """
        try:
            units = len(text.encode("utf-16-le")) // 2
        except UnicodeEncodeError as error:
            raise AxmlError("the text is not valid Unicode") from error
        if units > MAX_STRING:
            raise AxmlError(f"the text is longer than {MAX_STRING} characters")
        self._strings.append(text)
        index = len(self._strings) - 1
        struct.pack_into("<IHBBI", self._nodes, attribute.position + 8, index, 8, 0, TYPE_STRING, index)

    def set_integer(self, attribute: Attribute, number: int) -> None:
        """Give an attribute this number, from 0 to 2³² − 1, whatever it held before."""
        struct.pack_into("<IHBBI", self._nodes, attribute.position + 8, _NO_INDEX, 8, 0, TYPE_INTEGER, number)

    def to_bytes(self) -> bytes:
        """The document as Android reads it."""
        body = _write_pool(self._strings) + self._resources + self._nodes
        return struct.pack("<HHI", _XML, 8, 8 + len(body)) + body

    def _read(self, content: bytes) -> None:
        kind, header, size = struct.unpack_from("<HHI", content)
        if (kind, header) != (_XML, 8) or size != len(content):
            raise AxmlError("it is no compiled XML, or not all of it")
        for at, kind, header, size in _chunks(content, 8):
            chunk = content[at : at + size]
            if kind == _STRING_POOL and not self._strings:
                self._strings = _read_pool(chunk, header)
            elif kind == _RESOURCE_MAP and not self._resources and not self._nodes:
                self._resources = chunk
            elif _START_NAMESPACE <= kind <= _CDATA:
                self._nodes += chunk
            else:
                raise AxmlError(f"it has a part of an unknown kind, {kind:#x}")

    def _elements(self) -> Iterator[Element]:
        path: list[str] = []
        for at, kind, header, size in _chunks(self._nodes, 0):
            if kind == _START_ELEMENT:
                name, start, width, count = struct.unpack_from("<4xIHHH", self._nodes, at + header)
                path.append(self._string(name))
                first = at + header + start
                if width != _ATTRIBUTE_SIZE or first + width * count > at + size:
                    raise AxmlError("its attributes reach out of their element")
                attributes = tuple(self._attribute(first + width * number) for number in range(count))
                yield Element("/".join(path), attributes)
            elif kind == _END_ELEMENT:
                path.pop()

    def _attribute(self, at: int) -> Attribute:
        namespace, name, _, _, kind, value = struct.unpack_from("<IIIHxBI", self._nodes, at)
        return Attribute(
            "" if namespace == _NO_INDEX else self._string(namespace),
            self._string(name),
            kind,
            self._string(value) if kind == TYPE_STRING else "",
            value if kind != TYPE_STRING else 0,
            at,
        )

    def _string(self, index: int) -> str:
        return self._strings[index]


def _chunks(content: bytes | bytearray, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Position, type, header size and size of each chunk from `at` to the end."""
    while at < len(content):
        kind, header, size = struct.unpack_from("<HHI", content, at)
        if header < 8 or size < header or at + size > len(content) or size % 4:
            raise AxmlError("its parts overlap, or reach beyond its end")
        yield at, kind, header, size
        at += size


def _read_pool(chunk: bytes, header: int) -> list[str]:
    count, _, flags, start = struct.unpack_from("<IIII", chunk, 8)
    if header + 4 * count > len(chunk):
        raise AxmlError("it claims to have more strings than fit into it")
    read = _utf8 if flags & _UTF8 else _utf16
    offsets = struct.unpack_from(f"<{count}I", chunk, header)
    strings, total = [], 0
    for offset in offsets:
        strings.append(read(chunk, start + offset))
        total += len(strings[-1])
        if total > len(chunk):  # many offsets can name one long string
            raise AxmlError("its strings overlap")
    return strings


def _utf16(chunk: bytes, at: int) -> str:
    (length,) = struct.unpack_from("<H", chunk, at)
    at += 2
    if length & 0x8000:
        length = (length & 0x7FFF) << 16 | struct.unpack_from("<H", chunk, at)[0]
        at += 2
    return _text(chunk, at, 2 * length, "utf-16-le")


def _utf8(chunk: bytes, at: int) -> str:
    _, at = _utf8_length(chunk, at)  # in UTF-16 code units
    length, at = _utf8_length(chunk, at)
    return _text(chunk, at, length, "utf-8")


def _utf8_length(chunk: bytes, at: int) -> tuple[int, int]:
    if chunk[at] & 0x80:
        return (chunk[at] & 0x7F) << 8 | chunk[at + 1], at + 2
    return chunk[at], at + 1


def _text(chunk: bytes, at: int, size: int, encoding: str) -> str:
    if at + size > len(chunk):
        raise AxmlError("a string reaches beyond its end")
    return chunk[at : at + size].decode(encoding)


def _write_pool(strings: list[str]) -> bytes:
    offsets, data = [], bytearray()
    for text in strings:
        encoded = text.encode("utf-16-le")
        offsets.append(len(data))
        units = len(encoded) // 2
        long = units > MAX_STRING
        data += struct.pack("<HH", 0x8000 | units >> 16, units & 0xFFFF) if long else struct.pack("<H", units)
        data += encoded + b"\0\0"
    data += bytes(-len(data) % 4)
    start = 28 + 4 * len(strings)
    head = struct.pack("<HHIIIIII", _STRING_POOL, 28, start + len(data), len(strings), 0, 0, start, 0)
    return head + struct.pack(f"<{len(offsets)}I", *offsets) + data
