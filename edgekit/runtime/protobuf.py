"""Walk the wire format of a protobuf message, without a schema and without the protobuf package.

Only what reading a model file needs: ONNX files and SavedModels are protobuf messages, and the few fields edgekit
wants from them are found by their numbers. Every length is checked against the data before it is believed.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.runtime.errors import ModelFileError

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5

_VARINT_BYTES = 10


def fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield (field number, wire type, value) for each field of one message, in the order of the file.

    The value is an unsigned int for VARINT, FIXED64 and FIXED32 (little-endian bits, as yet uninterpreted), and a view
    into `data` (no copy) for LENGTH_DELIMITED: a string, bytes, a packed array or an embedded message.

    Raises:
        ModelFileError: the data ends within a field, or is no protobuf. Fields before that place have been yielded.
            The caller adds the name of the file.
    """
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise ModelFileError("Damaged protobuf data: an impossible field number.")
        if wire_type == VARINT:
            value, position = _varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, position = _varint(data, position)
        elif wire_type == FIXED64:
            size = 8
        elif wire_type == FIXED32:
            size = 4
        else:
            raise ModelFileError(f"Damaged protobuf data: an unknown wire type {wire_type}.")
        if size > end - position:
            raise ModelFileError("Damaged protobuf data: a field is longer than the data.")
        piece = data[position : position + size]
        position += size
        yield number, wire_type, piece if wire_type == LENGTH_DELIMITED else int.from_bytes(piece, "little")


def embedded(data: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the value of each length-delimited field `number` of one message.

    Raises:
        ModelFileError: as `fields`; also when such a field is there with another wire type.
    """
    for found, _, value in fields(data):
        if found == number:
            if isinstance(value, int):
                raise ModelFileError(f"Damaged protobuf data: field {number} is a number, not a message.")
            yield value


def text(value: memoryview) -> str:
    """A string field. Bytes that are no UTF-8 become U+FFFD, since names are only compared and shown."""
    return str(value, "utf-8", "replace")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES):
        if position >= len(data):
            raise ModelFileError("Damaged protobuf data: it ends within a number.")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise ModelFileError("Damaged protobuf data: a number is longer than 10 bytes.")
