from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest

from edgekit.package.android.axml import (
    ANDROID,
    MAX_BYTES,
    TYPE_INTEGER,
    TYPE_REFERENCE,
    TYPE_STRING,
    AxmlError,
    Document,
    Element,
)
from tests.package.android.compiled_xml import MANIFEST, chunk, compiled, pool


def element(document: Document, path: str) -> Element:
    return next(one for one in document.elements if one.path == path)


@pytest.mark.parametrize("utf8", [False, True])
def test_reading(utf8: bool) -> None:
    document = Document(compiled(utf8=utf8))
    assert [one.path for one in document.elements] == [
        "manifest", "manifest/application", "manifest/application/provider", "manifest/application/activity",
    ]
    found = [(one.namespace, one.name, one.type, one.text or one.number) for one in document.elements[0].attributes]
    assert MANIFEST[0] is not None
    assert found == MANIFEST[0][1]
    label = element(document, "manifest/application").required("label")
    assert (label.type, label.number) == (TYPE_REFERENCE, 0x7F020000)
    assert element(document, "manifest").attribute("package") is None
    with pytest.raises(AxmlError, match="<manifest> has no attribute icon"):
        element(document, "manifest").required("icon")


def test_what_is_not_changed_stays_byte_for_byte() -> None:
    content = compiled()
    assert Document(content).to_bytes() == content
    changed = Document(content)
    changed.set_integer(element(changed, "manifest").required("versionCode"), 1)
    assert changed.to_bytes() == content


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("text", ["Vögel", "🦊 \"quoted\" 'too'", "שלום", "@string/no_reference", "x" * 40_000, ""])
def test_changing_values(text: str, utf8: bool) -> None:
    document = Document(compiled(utf8=utf8))
    if len(text) > 0x7FFF:
        with pytest.raises(AxmlError, match="longer than 32767"):
            document.set_string(element(document, "manifest/application").required("label"), text)
        return
    document.set_string(element(document, "manifest/application").required("label"), text)
    document.set_string(element(document, "manifest").required("package", namespace=""), "com.example.birds")
    document.set_integer(element(document, "manifest").required("versionCode"), 2_100_000_000)
    again = Document(document.to_bytes())
    label = element(again, "manifest/application").required("label")
    assert (label.type, label.text) == (TYPE_STRING, text)
    assert element(again, "manifest").required("package", namespace="").text == "com.example.birds"
    code = element(again, "manifest").required("versionCode")
    assert (code.type, code.number) == (TYPE_INTEGER, 2_100_000_000)
    # It shared its string with another attribute before.
    assert element(again, "manifest").required("versionName").text == "1.0"


def test_a_shared_string_is_changed_in_one_place_only() -> None:
    document = Document(compiled())
    document.set_string(element(document, "manifest").required("versionName"), "2.0")
    again = Document(document.to_bytes())
    assert element(again, "manifest/application/activity").required("label").text == "1.0"


def test_text_that_is_no_unicode() -> None:
    document = Document(compiled())
    with pytest.raises(AxmlError, match="not valid Unicode"):
        document.set_string(element(document, "manifest/application").required("label"), "a\ud800")


def test_long_strings_are_read_and_written() -> None:
    text = "é" * 300
    for utf8 in (False, True):
        document = Document(compiled([("a", [("", "b", TYPE_STRING, text)]), None], utf8))
        assert document.elements[0].required("b", namespace="").text == text
        assert Document(document.to_bytes()).elements == document.elements
    long = "y" * 70_000
    strings = struct.pack("<HH", 0x8000 | len(long) >> 16, len(long) & 0xFFFF) + long.encode("utf-16-le") + b"\0\0\0\0"
    head = struct.pack("<IIIIII", 1, 0, 0, 32, 0, 0)
    content = chunk(3, 8, chunk(1, 28, head + strings) + start_of("<IIII6H", 0, 0))
    assert Document(content).elements[0].path == long
    assert Document(Document(content).to_bytes()).elements[0].path == long


def start_of(form: str, name: int, attributes: int, *, start: int = 20, size: int = 20) -> bytes:
    return chunk(0x0102, 16, struct.pack(form, 1, 0xFFFFFFFF, 0xFFFFFFFF, name, start, size, attributes, 0, 0, 0))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "outside"),
        (b"<manifest/>", "no compiled XML"),
        (compiled()[:-4], "not all of it"),
        (compiled() + b"\0\0\0\0", "not all of it"),
        (bytes(MAX_BYTES + 1), "bytes"),
        (chunk(3, 8, chunk(1, 28, struct.pack("<IIIII", 1 << 30, 0, 0, 28, 0))), "more strings"),
        (chunk(3, 8, chunk(1, 28, struct.pack("<IIIIII", 1, 0, 0, 1 << 31, 0, 0))), "outside"),
        (chunk(3, 8, chunk(1, 28, struct.pack("<IIIIII", 1, 0, 0, 32, 0, 0) + b"\xff\x7f\0\0")), "beyond its end"),
        (chunk(3, 8, pool(["a"], False) + start_of("<IIII6H", 7, 0)), "outside"),
        (chunk(3, 8, pool(["a"], False) + start_of("<IIII6H", 0, 50_000)), "out of their element"),
        (chunk(3, 8, pool(["a"], False) + start_of("<IIII6H", 0, 1, size=0)), "out of their element"),
        (chunk(3, 8, pool(["a"], False) + start_of("<IIII6H", 0, 1, start=0xFFFF)), "out of their element"),
        (chunk(3, 8, pool(["a"], False) + chunk(0x0103, 16, bytes(16))), "outside"),
        (chunk(3, 8, chunk(0x0200, 8, b"")), "unknown kind"),
        (chunk(3, 8, struct.pack("<HHI", 0x0102, 16, 1 << 31)), "beyond its end"),
        (chunk(3, 8, struct.pack("<HHI", 0x0102, 0, 0)), "overlap"),
    ],
)
def test_attacks(content: bytes, reason: str) -> None:
    with pytest.raises(AxmlError, match=reason):
        Document(content)


def test_strings_that_all_lie_in_one_place_do_not_multiply() -> None:
    text = "z" * 30_000
    data = struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"
    count = 10_000
    head = struct.pack("<IIIII", count, 0, 0, 28 + 4 * count, 0) + bytes(4 * count)
    with pytest.raises(AxmlError, match="overlap"):
        Document(chunk(3, 8, chunk(1, 28, head + data + bytes(-len(data) % 4))))


@pytest.mark.parametrize("utf8", [False, True])
def test_damage_gives_an_error_or_another_document_and_nothing_else(utf8: bool) -> None:
    content, dice = compiled(utf8=utf8), random.Random(1)
    for cut in range(0, len(content), 7):
        with pytest.raises(AxmlError):
            Document(content[:cut])
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        with suppress(AxmlError):
            document = Document(bytes(damaged))
            for one in document.elements:
                for attribute in one.attributes:
                    document.set_string(attribute, "x")
            Document(document.to_bytes())


def test_the_namespace_of_android() -> None:
    assert ANDROID == "http://schemas.android.com/apk/res/android"
