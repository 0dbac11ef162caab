"""The protobuf walker: what it reads, and that damaged data is told and never believed."""

from __future__ import annotations

import random

import pytest

from edgekit.runtime import protobuf
from edgekit.runtime.errors import ModelFileError


def walk(data: bytes) -> list[tuple[int, int, object]]:
    return [(number, kind, value if isinstance(value, int) else bytes(value))
            for number, kind, value in protobuf.fields(memoryview(data))]


def test_every_wire_type_is_read() -> None:
    data = (b"\x08\x96\x01"  # field 1: 150, the example of the protobuf documentation
            b"\x12\x07testing"
            b"\x1d\x00\x00\x80\x3f"  # field 3: float 1.0
            b"\x21\x01\x00\x00\x00\x00\x00\x00\x80"
            b"\xfa\x3f\x00")  # field 1023: empty
    assert walk(data) == [
        (1, protobuf.VARINT, 150),
        (2, protobuf.LENGTH_DELIMITED, b"testing"),
        (3, protobuf.FIXED32, 0x3F800000),
        (4, protobuf.FIXED64, 0x8000000000000001),
        (1023, protobuf.LENGTH_DELIMITED, b""),
    ]


def test_negative_numbers_are_their_64_bits() -> None:
    assert walk(b"\x08" + b"\xff" * 9 + b"\x01") == [(1, protobuf.VARINT, 2**64 - 1)]


def test_embedded_takes_only_that_field() -> None:
    data = memoryview(b"\x12\x01a\x08\x05\x12\x01b\x1a\x01c")
    assert [protobuf.text(value) for value in protobuf.embedded(data, 2)] == ["a", "b"]
    with pytest.raises(ModelFileError, match="field 1 is a number"):
        list(protobuf.embedded(data, 1))


def test_text_that_is_no_utf8_is_replaced() -> None:
    assert protobuf.text(memoryview(b"a\xff")) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "ends within a number"),
        (b"\x08\x80", "ends within a number"),
        (b"\x08" + b"\xff" * 10, "longer than 10 bytes"),
        (b"\x12\x05abcd", "longer than the data"),
        (b"\x12" + b"\xff" * 9 + b"\x01", "longer than the data"),
        (b"\x1d\x00\x00\x00", "longer than the data"),
        (b"\x21\x00\x00\x00", "longer than the data"),
        (b"\x0b\x0c", "unknown wire type 3"),
        (b"\x0e", "unknown wire type 6"),
        (b"\x00\x00", "impossible field number"),
    ],
)
def test_damaged_data_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason):
        walk(data)


def test_random_data_gives_fields_or_an_error() -> None:
    dice = random.Random(7)
    refused = 0
    for _ in range(2000):
        data = dice.randbytes(dice.randrange(40))
        try:
            assert all(0 < number < 1 << 29 for number, _, _ in walk(data))
        except ModelFileError:
            refused += 1
    assert 1000 < refused < 2000
