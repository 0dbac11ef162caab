"""Tell model files apart by content, read the spec out of them, and name them by digest.

Everything here is bounds-checked and needs neither an interpreter nor a schema: a damaged or hostile file
gives a ModelFileError. Writing specs into files is `edgekit.core.embed`.

A `.tflite` file that edgekit wrote is laid out as

    0   root offset of a small flatbuffer (its own root table, metadata, buffer list)
    4   "TFL3"
    8   MAGIC, then the body's offset and size as two little-endian 64-bit numbers
    …   the model's own flatbuffer, byte for byte as it was: the body
    …   a ZIP archive with the labels (TFLite Model Metadata's "associated files")

The new root table points forward into the body, so every flatbuffer reader sees one ordinary model, and
the digest of the model without its metadata is the digest of the body.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from edgekit.runtime.errors import EdgekitError, ModelFileError, SpecError
from edgekit.runtime.protobuf import embedded, fields, text
from edgekit.runtime.spec import MAX_JSON_BYTES, ModelSpec, printable

MAGIC = b"EDGEKIT\x01"
TFLITE_ENTRY = "EDGEKIT_SPEC"
ONNX_KEY = "edgekit_spec"
KERAS_MEMBER = "edgekit.json"
MAX_METADATA = 1000
MAX_NAME = 1000  # bytes of a metadata entry's name
# What a file unpacks to: always fine below the floor, above it at most this many times its own size.
UNPACKED_FLOOR = 64 << 20
MAX_EXPANSION = 100
# How the members of an archive may be compressed. zipfile bounds what these unpack to at once, but not the others.
COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PIECE = 1 << 20

# Fields of the tables Model, Metadata and Buffer in TFLite's schema.fbs, and of ONNX's ModelProto.
MODEL_BUFFERS, MODEL_METADATA = 4, 6
METADATA_NAME, METADATA_BUFFER = 0, 1
BUFFER_DATA, BUFFER_OFFSET, BUFFER_SIZE = 0, 1, 2
ONNX_IR_VERSION, ONNX_GRAPH, ONNX_METADATA_PROPS = 1, 7, 14


def sniff(path: Path) -> str:
    """What the file is: tflite, onnx, keras, h5, savedmodel, json, or unknown. The name does not matter.

    Raises:
        ModelFileError: there is nothing to read at this path.
    """
    if path.is_dir():
        return "savedmodel" if any((path / f"saved_model.{end}").exists() for end in ("pb", "pbtxt")) else "unknown"
    with mapped(path) as data:
        head = bytes(data[:16])
        if head[4:8] == b"TFL3":
            return "tflite"
        if head[:8] == b"\x89HDF\r\n\x1a\n":
            return "h5"
        if head[:2] == b"PK":
            return "keras" if _is_keras(path) else "unknown"
        if head.lstrip()[:1] == b"{":
            return "json"
        if head[:1] == b"\x08" and _is_onnx(data):
            return "onnx"
    return "unknown"


def read_spec(path: Path) -> ModelSpec | None:
    """The spec that the file carries; None when it carries none.

    Raises:
        ModelFileError: the file is damaged.
        SpecError: the spec in it is not valid.
    """
    with naming(path):
        document = _document(path)
        return None if document is None else ModelSpec.from_json(document)


def _document(path: Path) -> bytes | None:
    kind = sniff(path)
    if kind == "keras":
        return _keras_member(path)
    found: memoryview | None = None
    if kind == "tflite":
        with mapped(path) as data:
            found = tflite_metadata(data, path.name).get(TFLITE_ENTRY)
    elif kind == "onnx":
        with mapped(path) as data:
            entries = map(onnx_entry, embedded(data, ONNX_METADATA_PROPS))
            found = next((value for key, value in entries if key == ONNX_KEY), None)
    return None if found is None else bytes(found[: MAX_JSON_BYTES + 1])


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before the message of a ModelFileError or SpecError that does not say it."""
    try:
        yield
    except (ModelFileError, SpecError) as error:
        name = printable(path.name)
        if name in error.message:
            raise
        raise type(error)(f"{name}: {error.message}", error.hint) from error


def digest(path: Path) -> str:
    """The SHA-256 of the model without its spec, in hexadecimal; the same before and after embedding one.

    For `.keras` it covers names and contents of the archive's other members but metadata.json (the date and the
    version of Keras), for `.onnx` the other fields. For files of other kinds it is the digest of the file, and for a
    SavedModel folder that of its files.

    Raises:
        ModelFileError: the file is damaged.
    """
    kind = sniff(path)
    found = hashlib.sha256()
    if kind == "keras":
        for member, pieces in keras_members(path):
            if member.filename not in (KERAS_MEMBER, "metadata.json"):
                found.update(f"{member.filename}\0{member.file_size}\0".encode())
                for piece in pieces:
                    found.update(piece)
        return found.hexdigest()
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.is_file()):
            content = file.read_bytes()
            found.update(f"{file.relative_to(path)}\0{len(content)}\0".encode(errors="surrogateescape"))
            found.update(content)
        return found.hexdigest()
    with naming(path), mapped(path) as data:
        if kind == "tflite":
            start, end = tflite_body(data)
            found.update(data[start:end])
        elif kind == "onnx":
            for number, wire, value in fields(data):
                if number == ONNX_METADATA_PROPS and not isinstance(value, int) and onnx_entry(value)[0] == ONNX_KEY:
                    continue
                size = value if isinstance(value, int) else len(value)
                found.update(struct.pack("<IBQ", number, wire, size))
                found.update(b"" if isinstance(value, int) else value)
        else:
            found.update(data)
    return found.hexdigest()


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, mapped instead of read.

    Raises:
        ModelFileError: the file is missing, empty or unreadable.
    """
    try:
        if path.is_fifo():
            raise ModelFileError(f"{printable(str(path))} is a pipe; save what comes out of it as a file first.")
        with path.open("rb") as stream:
            pages = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise ModelFileError(f"{printable(str(path))} does not exist.") from None
    except (OSError, ValueError) as error:
        reason = "it is empty" if isinstance(error, ValueError) else error.strerror
        raise ModelFileError(f"Cannot read {printable(str(path))}: {reason}.") from error
    yield pages  # unmapped when the last view of it is gone


def tflite_body(data: memoryview) -> tuple[int, int]:
    """Where the model itself starts and ends in a `.tflite` file; the whole file when edgekit did not write it."""
    if bytes(data[8:16]) != MAGIC:
        return 0, len(data)
    start, size = struct.unpack_from("<QQ", data, 16) if len(data) >= 32 else (0, 0)
    if start + size > len(data) or start < 32 or bytes(data[start + 4 : start + 8]) != b"TFL3":
        raise ModelFileError("The .tflite file is damaged: its header points outside of it.")
    return start, start + size


def tflite_metadata(data: memoryview, name: str = "The file") -> dict[str, memoryview]:
    """The metadata buffers of a `.tflite` file by name; views, since a thousand of them may be the same large one."""
    flat = FlatBuffer(data)
    found = {}
    try:
        buffers = flat.tables(flat.root(), MODEL_BUFFERS)
        for title, index in tflite_entries(data, name):
            if index >= len(buffers):
                raise ModelFileError("A metadata entry names a buffer that is not there.")
            found[title] = flat.buffer(buffers[index])
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise _damaged_tflite(name) from error
    return found


def tflite_entries(data: memoryview, name: str = "The file") -> list[tuple[str, int]]:
    """The name and the buffer's number of each metadata entry in a `.tflite` file."""
    flat = FlatBuffer(data)
    try:
        entries = flat.tables(flat.root(), MODEL_METADATA)
        if len(entries) > MAX_METADATA:
            raise ModelFileError(f"{printable(name)} has {len(entries)} metadata entries; no model does.")
        titles = [flat.vector(entry, METADATA_NAME) for entry in entries]
        if any(len(title) > MAX_NAME for title in titles):
            raise ModelFileError(f"{printable(name)} has a metadata entry whose name is longer than {MAX_NAME} bytes.")
        indices = [flat.scalar(entry, METADATA_BUFFER, "<I") for entry in entries]
        return [(str(title, "utf-8"), index) for title, index in zip(titles, indices, strict=True)]
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise _damaged_tflite(name) from error


def _damaged_tflite(name: str) -> ModelFileError:
    return ModelFileError(f"{printable(name)} is a damaged .tflite file: its tables point outside of it.")


def onnx_entry(entry: memoryview) -> tuple[str, memoryview]:
    """Key and value of one entry of an ONNX file's metadata_props."""
    parts = {number: value for number, _, value in fields(entry) if not isinstance(value, int)}
    empty = memoryview(b"")
    return text(parts.get(1, empty)), parts.get(2, empty)


class FlatBuffer:
    """Reads tables of a flatbuffer (https://flatbuffers.dev/internals) without a schema; positions are absolute.

    Every access is bounds-checked: struct.error, IndexError or ValueError say that the file is damaged.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def u32(self, at: int) -> int:
        """The 32-bit number at a position."""
        if at < 0:
            raise IndexError(at)
        number: int = struct.unpack_from("<I", self._data, at)[0]
        return number

    def root(self) -> int:
        """The position of the root table."""
        return self.u32(0)

    def field(self, table: int, number: int) -> int | None:
        """The position of a field's value, or None when the table leaves it out."""
        vtable = table - struct.unpack_from("<i", self._data, table)[0]
        if vtable < 0:
            raise IndexError(vtable)
        size = struct.unpack_from("<H", self._data, vtable)[0]
        slot = 4 + 2 * number
        if slot + 2 > size:
            return None
        offset = struct.unpack_from("<H", self._data, vtable + slot)[0]
        return table + offset if offset else None

    def scalar(self, table: int, number: int, form: str) -> int:
        """A number in a table, 0 when it is left out."""
        at = self.field(table, number)
        return 0 if at is None else int(struct.unpack_from(form, self._data, at)[0])

    def reference(self, table: int, number: int) -> int | None:
        """The position that a field refers to (a vector, string or table)."""
        at = self.field(table, number)
        if at is None:
            return None
        target = at + self.u32(at)
        if target + 4 > len(self._data):
            raise IndexError(target)
        return target

    def tables(self, table: int, number: int) -> list[int]:
        """The positions of the tables in a vector of tables."""
        start = self.reference(table, number)
        if start is None:
            return []
        count = self.u32(start)
        if start + 4 + 4 * count > len(self._data):
            raise IndexError(start)
        return [at + self.u32(at) for at in range(start + 4, start + 4 + 4 * count, 4)]

    def vector(self, table: int, number: int) -> memoryview:
        """A view of the bytes of a string or byte vector."""
        start = self.reference(table, number)
        if start is None:
            return self._data[:0]
        size = self.u32(start)
        if start + 4 + size > len(self._data):
            raise IndexError(start)
        return self._data[start + 4 : start + 4 + size]

    def floats(self, table: int, number: int) -> tuple[float, ...]:
        """The numbers in a vector of 32-bit floats."""
        start = self.reference(table, number)
        count = self.u32(start) if start is not None else 0
        return struct.unpack_from(f"<{count}f", self._data, (start or 0) + 4) if count else ()

    def text(self, table: int, number: int) -> str:
        """A string."""
        return str(self.vector(table, number), "utf-8")

    def buffer(self, table: int) -> memoryview:
        """A view of the content of a TFLite Buffer, inside or after the flatbuffer."""
        offset, size = self.scalar(table, BUFFER_OFFSET, "<Q"), self.scalar(table, BUFFER_SIZE, "<Q")
        if offset > 1:
            if offset + size > len(self._data):
                raise IndexError(offset)
            return self._data[offset : offset + size]
        return self.vector(table, BUFFER_DATA)


def _is_onnx(data: memoryview) -> bool:
    try:
        seen = {number for number, _, _ in fields(data)}
    except ModelFileError:
        return False
    return {ONNX_IR_VERSION, ONNX_GRAPH} <= seen


def _is_keras(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"config.json", "metadata.json"} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def keras_members(path: Path) -> Iterator[tuple[zipfile.ZipInfo, Iterator[bytes]]]:
    """Yield each member of a `.keras` archive with its content, as `unpack` gives it.

    Raises:
        ModelFileError: the archive is damaged, or unpacks to far more than a model does.
    """
    with _refusing_damage(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked, size = sum(member.file_size for member in members), path.stat().st_size
        if unpacked > unpacked_limit(size):
            raise ModelFileError(
                f"{printable(str(path))} is {size:,} bytes and claims to unpack to {unpacked:,}; no model does that."
            )
        for member in members:
            yield member, _pieces(path, archive, member)


def unpacked_limit(size: int) -> int:
    """How many bytes a model file of `size` bytes may unpack to."""
    return max(UNPACKED_FLOOR, MAX_EXPANSION * size)


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member in pieces of 1 MB, together exactly as long as the archive says (`file_size`).

    Raises:
        zipfile.BadZipFile: it is longer or shorter, or compressed in a way that `.keras` files are not.
        Exception: what zipfile and zlib raise on damaged archives, which has no common base.
    """
    if member.compress_type not in COMPRESSION:
        raise zipfile.BadZipFile(f"{member.filename!r} is compressed in a way that Keras does not use")
    left = member.file_size
    with archive.open(member) as content:
        while piece := content.read(PIECE):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left:
        raise zipfile.BadZipFile(f"{member.filename!r} is not as long as the archive says")


def _pieces(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with _refusing_damage(path):
        yield from unpack(archive, member)


def _keras_member(path: Path) -> bytes | None:
    with _refusing_damage(path), zipfile.ZipFile(path) as archive:
        if KERAS_MEMBER not in archive.namelist():
            return None
        # One piece more than a spec may have is enough to refuse it.
        return b"".join(islice(unpack(archive, archive.getinfo(KERAS_MEMBER)), MAX_JSON_BYTES // PIECE + 1))


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:  # zipfile and its decompressors have no common base
        reason = printable(str(error)) or type(error).__name__
        raise ModelFileError(f"{printable(str(path))} is a damaged .keras archive: {reason}.") from error
