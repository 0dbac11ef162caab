from __future__ import annotations

import io
import struct
import zipfile

import pytest

from edgekit.core.errors import PackageError
from edgekit.package.android import archive
from edgekit.package.android.archive import DEFLATED, PAGE, STORED, Entry

ENTRIES = [
    Entry("AndroidManifest.xml", b"manifest" * 50),
    Entry("assets/empty", b""),
    Entry("assets/model.tflite", bytes(range(256)), STORED, 64),
    Entry("lib/arm64-v8a/liba.so", b"library", STORED, PAGE),
    Entry("lib/arm64-v8a/libb.so", b"another", STORED, PAGE),
    Entry("res/ä.png", b"png", STORED),
    Entry("x", b"1", STORED),
    Entry("y", b"2", STORED),
]


def written(entries: list[Entry]) -> bytes:
    stream = io.BytesIO()
    directory, end = archive.write(stream, entries)
    return stream.getvalue() + directory + end


def test_the_archive_is_what_was_asked_for() -> None:
    content = written(ENTRIES)
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        assert found.namelist() == [entry.name for entry in ENTRIES]
        for entry, info in zip(ENTRIES, found.infolist(), strict=True):
            assert found.read(info) == entry.content
            assert info.compress_type == entry.method
            assert (info.date_time, info.extra, info.comment) == ((1981, 1, 1, 1, 1, 2), b"", b"")
            assert (info.external_attr, info.create_system) == (0, 0)


def content_offsets(content: bytes) -> dict[str, int]:
    """Where the content of each member lies."""
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        starts = {info.filename: info.header_offset for info in found.infolist()}
    return {name: at + 30 + sum(struct.unpack_from("<HH", content, at + 26)) for name, at in starts.items()}


def test_stored_content_is_aligned() -> None:
    found = content_offsets(written(ENTRIES))
    assert all(found[entry.name] % entry.alignment == 0 for entry in ENTRIES if entry.method == STORED)


@pytest.mark.parametrize("length", range(1, 40))
def test_alignment_after_a_name_of_any_length(length: int) -> None:
    entries = [Entry("a" * length, b"\xfe\xff\xfe", STORED, 64), Entry("b" * length, b"\xfd\xff\xfd", STORED)]
    content = written(entries)
    assert content.index(b"\xfe\xff\xfe") % 64 == 0
    assert content.index(b"\xfd\xff\xfd") % 4 == 0
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None


def test_the_same_entries_give_the_same_bytes() -> None:
    assert written(ENTRIES) == written(ENTRIES)


def test_views_are_written_as_well() -> None:
    content = written([Entry("a", memoryview(b"12345")[1:4], STORED), Entry("b", memoryview(b"x" * 99), DEFLATED)])
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert (found.read("a"), found.read("b")) == (b"234", b"x" * 99)


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_SIZE", 1000)
    with pytest.raises(PackageError, match="larger than 2 GB"):
        written([Entry("a", bytes(1000), STORED)])
