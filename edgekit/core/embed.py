"""Write a spec into a `.tflite`, `.onnx` or `.keras` file. Reading it back is `edgekit.runtime.modelfile`."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.core import files, tflite_metadata
from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.modelfile import FlatBuffer
from edgekit.runtime.protobuf import LENGTH_DELIMITED, VARINT, fields
from edgekit.runtime.spec import ModelSpec, printable

_ALIGNMENT = 64
_MODEL_FIELDS = 8
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same inputs give the same bytes


def write_spec(source: Path, spec: ModelSpec, target: Path) -> None:
    """Write `target`: the model in `source` with `spec` in the place of the one it carried, if any.

    `source` and `target` may be the same file. The model itself is not changed: `modelfile.digest` stays (unless
    weights lay outside of the flatbuffer, see `inline_weights`).

    Raises:
        ModelFileError: `source` is damaged or of a kind that carries no spec.
        OutputError: `target` cannot be written.
    """
    kind = modelfile.sniff(source)
    if kind == "keras":
        _write_keras(source, spec, target)
        return
    with modelfile.naming(source), modelfile.mapped(source) as data:
        if kind == "tflite":
            content = _tflite(data, spec, source.name)
        elif kind == "onnx":
            content = _onnx(data, spec)
        else:
            raise ModelFileError(f"{printable(str(source))} cannot carry a spec (it looks like: {kind}).")
    files.write_bytes(target, content)


def inline_weights(content: bytes) -> bytes:
    """A `.tflite` file with all of its weights inside the flatbuffer.

    Writers put the weights of large models after the flatbuffer (Buffer.offset and .size in schema.fbs). Other
    tools lose them there; inside they are safe, and the answers are the same bit for bit.
    """
    flat = FlatBuffer(memoryview(content))
    with _refusing_damage():
        tables = flat.tables(flat.root(), modelfile.MODEL_BUFFERS)
        if all(flat.scalar(table, modelfile.BUFFER_OFFSET, "<Q") <= 1 for table in tables):
            return content
        import flatbuffers
        import numpy as np
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        for buffer, table in zip(model.buffers, tables, strict=True):
            if buffer.offset and buffer.offset > 1:
                buffer.data = np.frombuffer(flat.buffer(table), np.uint8)
                buffer.offset = buffer.size = 0
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tflite(data: memoryview, spec: ModelSpec, name: str) -> bytes:
    start, end = modelfile.tflite_body(data)
    body = inline_weights(bytes(data[start:end]))
    modelfile.tflite_metadata(memoryview(body), name)  # refuses a damaged file
    width = _output_width(body) or len(spec.labels)
    buffers = {
        tflite_metadata.ENTRY: tflite_metadata.classifier_metadata(spec),
        modelfile.TFLITE_ENTRY: spec.to_json().encode(),
    }
    with _refusing_damage():
        header = _header(body, modelfile.tflite_entries(memoryview(body), name), buffers)
    stream = io.BytesIO()
    stream.write(header)
    stream.write(body)
    with zipfile.ZipFile(
        stream, "w", zipfile.ZIP_STORED
    ) as archive:  # "a" would reopen an archive that the body ends with
        info = zipfile.ZipInfo(tflite_metadata.LABELS_FILE, _FIXED_DATE)
        archive.writestr(info, tflite_metadata.labels_file(spec, width))
    return stream.getvalue()


def _output_width(body: bytes) -> int | None:
    """The last dimension of the model's first output; None when the file does not say."""
    flat = FlatBuffer(memoryview(body))
    with _refusing_damage():
        graph = flat.tables(flat.root(), 2)[0]  # Model.subgraphs
        outputs = flat.reference(graph, 2)  # SubGraph.outputs
        tensor = flat.tables(graph, 0)[flat.u32((outputs or 0) + 4)]  # SubGraph.tensors
        shape = flat.reference(tensor, 0)  # Tensor.shape
        rank = flat.u32(shape) if shape is not None else 0
        return flat.u32(shape + 4 * rank) if shape is not None and rank > 1 else None


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """What reading a damaged flatbuffer raises becomes a ModelFileError."""
    try:
        yield
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error


def _header(body: bytes, kept: list[tuple[str, int]], buffers: dict[str, bytes]) -> bytes:
    """The small flatbuffer that goes before a body (see `edgekit.runtime.modelfile` for the layout).

    A flatbuffer refers forward only, by unsigned offsets; so a new root table in front of the model can take over
    the model's own parts, and nothing of the body is touched. `kept` are the body's own metadata entries.
    """
    flat = FlatBuffer(memoryview(body))
    root = flat.root()
    old_buffers = flat.tables(root, modelfile.MODEL_BUFFERS)
    entries = [(name, index) for name, index in kept if name not in buffers]
    entries += [(name, len(old_buffers) + number) for number, name in enumerate(buffers)]

    out = bytearray(32)
    out[4:8] = b"TFL3"
    out[8:16] = modelfile.MAGIC
    links: list[tuple[int, int]] = []  # where an offset stands, and the position in the body that it must reach

    vtable = len(out)
    out += struct.pack(
        "<HH8H", 4 + 2 * _MODEL_FIELDS, 4 + 4 * _MODEL_FIELDS, *(4 + 4 * n for n in range(_MODEL_FIELDS))
    )
    table = len(out)
    struct.pack_into("<I", out, 0, table)
    out += bytes(4 + 4 * _MODEL_FIELDS)
    struct.pack_into("<i", out, table, table - vtable)
    slots = [table + 4 + 4 * number for number in range(_MODEL_FIELDS)]
    struct.pack_into("<I", out, slots[0], flat.scalar(root, 0, "<I"))
    for number in range(1, _MODEL_FIELDS):
        target = flat.reference(root, number)
        if number in (modelfile.MODEL_BUFFERS, modelfile.MODEL_METADATA):
            continue
        if target is None:  # left out in the body: left out here
            struct.pack_into("<H", out, vtable + 4 + 2 * number, 0)
        else:
            links.append((slots[number], target))

    def refer(slot: int) -> None:
        struct.pack_into("<I", out, slot, len(out) - slot)

    refer(slots[modelfile.MODEL_METADATA])
    at = len(out) + 4
    out += struct.pack("<I", len(entries)) + bytes(4 * len(entries))
    for slot, (name, index) in zip(range(at, len(out), 4), entries, strict=True):
        refer(slot)
        out += struct.pack("<iII", -8, 8, index)  # Metadata: its vtable follows, name and buffer
        start = len(out) - 12
        struct.pack_into("<i", out, start, start - len(out))
        out += struct.pack("<4H", 8, 12, 4, 8)
        struct.pack_into("<I", out, start + 4, len(out) - (start + 4))
        encoded = name.encode()
        out += struct.pack("<I", len(encoded)) + encoded + b"\0"
        out += bytes(-len(out) % 4)

    refer(slots[modelfile.MODEL_BUFFERS])
    at = len(out) + 4
    out += struct.pack("<I", len(old_buffers) + len(buffers))
    links += [(at + 4 * number, position) for number, position in enumerate(old_buffers)]
    out += bytes(4 * (len(old_buffers) + len(buffers)))
    for number, content in enumerate(buffers.values(), start=len(old_buffers)):
        refer(at + 4 * number)
        start = len(out)
        out += struct.pack("<iI", 0, 0) + struct.pack("<3H", 6, 8, 4) + bytes(2)  # Buffer: data
        struct.pack_into("<i", out, start, -8)
        out += bytes((12 - len(out)) % 16)  # so that the data lies on 16 bytes
        struct.pack_into("<I", out, start + 4, len(out) - (start + 4))
        out += struct.pack("<I", len(content)) + content
        out += bytes(-len(out) % 4)

    out += bytes(-len(out) % _ALIGNMENT)
    struct.pack_into("<QQ", out, 16, len(out), len(body))
    for slot, position in links:
        struct.pack_into("<I", out, slot, len(out) + position - slot)
    return bytes(out)


def _onnx(data: memoryview, spec: ModelSpec) -> bytes:
    out = bytearray()
    for number, wire, value in fields(data):
        if isinstance(value, int):
            size = {VARINT: None, 1: 8, 5: 4}[wire]
            out += _varint(number << 3 | wire) + (_varint(value) if size is None else value.to_bytes(size, "little"))
        elif number != modelfile.ONNX_METADATA_PROPS or modelfile.onnx_entry(value)[0] != modelfile.ONNX_KEY:
            out += _message(number, value)
    entry = _message(1, modelfile.ONNX_KEY.encode()) + _message(2, spec.to_json().encode())
    return bytes(out + _message(modelfile.ONNX_METADATA_PROPS, entry))


def _message(number: int, content: bytes | memoryview) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + bytes(content)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _write_keras(source: Path, spec: ModelSpec, target: Path) -> None:
    with files.replacing(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for member, pieces in modelfile.keras_members(source):
            if member.filename != modelfile.KERAS_MEMBER:
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.file_size = member.file_size
                with archive.open(info, "w") as copy:
                    for piece in pieces:
                        copy.write(piece)
        archive.writestr(zipfile.ZipInfo(modelfile.KERAS_MEMBER, _FIXED_DATE), spec.to_json())
