"""Files are told apart by content, named by digest, and read without trusting them."""

from __future__ import annotations

import hashlib
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.runtime import modelfile
from edgekit.runtime.errors import ModelFileError, SpecError
from edgekit.runtime.modelfile import FlatBuffer
from tests import models


def saved_model(folder: Path, name: str = "saved_model.pb") -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / name).write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def written(path: Path, content: bytes | bytearray) -> Path:
    path.write_bytes(content)
    return path


# --- what is it?


@pytest.mark.parametrize("name", ["model", "model.png", "model.tflite", "model.onnx", "model.keras", "model.h5"])
def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert modelfile.sniff(models.tflite(path)) == "tflite"
    assert modelfile.sniff(models.with_spec(path)) == "tflite"
    assert modelfile.sniff(models.onnx(path)) == "onnx"
    assert modelfile.sniff(models.with_spec(path)) == "onnx"
    assert modelfile.sniff(models.keras(path)) == "keras"
    assert modelfile.sniff(models.with_spec(path)) == "keras"
    assert modelfile.sniff(written(path, b"\x89HDF\r\n\x1a\n" + bytes(100))) == "h5"
    assert modelfile.sniff(written(path, b' \n{"class_name": "Sequential"}')) == "json"


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_saved_model_is_a_folder(tmp_path: Path, name: str) -> None:
    assert modelfile.sniff(saved_model(tmp_path / "model.keras", name)) == "savedmodel"
    assert modelfile.sniff(tmp_path) == "unknown"


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"TFL3",
        bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x08\x09",  # an ONNX file has a graph
        b"\x08",
        b"\x08" + bytes(100),
        b"\x08\x09\x3a\xff\xff\xff\xff\x0f",  # its graph is longer than the file
    ],
)
def test_other_files_are_unknown(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "model.tflite", content)
    assert modelfile.sniff(path) == "unknown"
    assert modelfile.read_spec(path) is None
    assert modelfile.digest(path) == hashlib.sha256(content).hexdigest()


def test_a_zip_of_something_else_is_no_keras_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    assert modelfile.sniff(tmp_path / "photos.keras") == "unknown"


@pytest.mark.parametrize("read", [modelfile.sniff, modelfile.read_spec, modelfile.digest])
def test_what_cannot_be_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(ModelFileError, match=r"missing\ufffd\.tflite does not exist"):
        read(tmp_path / "missing\x1b.tflite")
    with pytest.raises(ModelFileError, match=r"Cannot read .*empty\.tflite: it is empty"):
        read(written(tmp_path / "empty.tflite", b""))
    with pytest.raises(ModelFileError, match=r"Cannot read .*below: Not a directory"):
        read(tmp_path / "empty.tflite" / "below")
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(ModelFileError, match="is a pipe"):
        read(tmp_path / "pipe.tflite")


def test_a_folder_is_not_mapped(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="Is a directory"), modelfile.mapped(tmp_path):
        pass


# --- the spec


@pytest.mark.parametrize("make", [models.tflite, models.onnx, models.keras])
def test_a_model_without_a_spec(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert modelfile.read_spec(make(tmp_path / "model")) is None


@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras"])
def test_a_spec_is_found(tmp_path: Path, ending: str) -> None:
    path = models.carrying(tmp_path / f"model.{ending}", models.spec().to_json().encode())
    assert modelfile.read_spec(path) == models.spec()


@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras"])
@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'{"edgekit":2}', "has version '2'"),
        (b'{"edgekit":1}', "lacks the field"),
        (b"[1]", "not a JSON object"),
        (b'{"edgekit":1', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"edgekit":1,"labels":[' + b'"x",' * 100_000 + b'"x"]}', "too long"),
    ],
)
def test_a_spec_that_is_not_valid(tmp_path: Path, ending: str, document: bytes, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        modelfile.read_spec(models.carrying(tmp_path / f"model.{ending}", document))


@pytest.mark.parametrize("ending", ["tflite", "onnx", "keras"])
def test_an_error_names_its_file(tmp_path: Path, ending: str) -> None:
    with pytest.raises(SpecError, match=rf"^my\ufffdmodel\.{ending}: The spec"):
        modelfile.read_spec(models.carrying(tmp_path / f"my\nmodel.{ending}", b'{"edgekit":2}'))


def test_a_spec_in_an_archive_is_not_unpacked_beyond_its_limit(tmp_path: Path) -> None:
    path = models.keras(tmp_path / "bomb.keras", {"edgekit.json": b" " * (40 << 20)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(SpecError, match="larger than 32 MB"):
        modelfile.read_spec(path)


def lying(path: Path, member: str, said: int) -> Path:
    """Change how long the archive says that a member is."""
    content = bytearray(path.read_bytes())
    entry = content.index(member.encode(), content.index(b"PK\x01\x02")) - 46
    struct.pack_into("<I", content, entry + 24, said)
    return written(path, content)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_whose_output_cannot_be_bounded(tmp_path: Path, compression: int) -> None:
    path = models.keras(tmp_path / "model.keras", {"edgekit.json": bytes(10 << 20), "extra": b"1"}, compression)
    lying(path, "edgekit.json", 100)
    for read in (modelfile.read_spec, modelfile.digest):
        with pytest.raises(ModelFileError, match="compressed in a way that Keras does not use"):
            read(path)


def test_what_an_archive_says_of_its_sizes_bounds_what_comes_out(tmp_path: Path) -> None:
    extra = {"edgekit.json": bytes(60 << 20), "extra": bytes(60 << 20)}
    path = models.keras(tmp_path / "model.keras", extra, zipfile.ZIP_DEFLATED)
    lying(lying(path, "edgekit.json", 100), "extra", 100)
    for read in (modelfile.read_spec, modelfile.digest):
        tracemalloc.start()
        with pytest.raises(ModelFileError, match=r"model\.keras is a damaged \.keras archive"):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 << 20


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_shorter_than_the_archive_says(tmp_path: Path, compression: int) -> None:
    path = lying(models.keras(tmp_path / "model.keras", {"edgekit.json": b"{}"}, compression), "edgekit.json", 9)
    with pytest.raises(ModelFileError, match=r"damaged \.keras archive"):
        modelfile.read_spec(path)


# --- the digest


def test_the_digest_is_that_of_the_model(tmp_path: Path) -> None:
    first, same = models.onnx(tmp_path / "1.onnx"), models.onnx(tmp_path / "2.onnx")
    other = models.onnx(tmp_path / "3.onnx", weights=models.WEIGHTS * 2)
    assert modelfile.digest(first) == modelfile.digest(same) != modelfile.digest(other)


def test_the_digest_of_a_keras_archive_covers_names_and_contents(tmp_path: Path) -> None:
    extras = [{}, {"a": b"1"}, {"a": b"2"}, {"b": b"1"}, {"a": b"", "b": b"1"}, {"edgekit.json": b"{}", "a": b"1"}]
    digests = [modelfile.digest(models.keras(tmp_path / "model.keras", extra)) for extra in extras]
    assert len(set(digests)) == 5
    assert digests[1] == digests[5]


def test_the_digest_of_a_keras_archive_is_not_about_when_it_was_saved(tmp_path: Path) -> None:
    dates = [{"metadata.json": b'{"date_saved": "1"}'}, {"metadata.json": b'{"date_saved": "2"}'}]
    first, second = (modelfile.digest(models.keras(tmp_path / "model.keras", date)) for date in dates)
    assert first == second


def test_the_digest_does_not_depend_on_the_compression(tmp_path: Path) -> None:
    extra = {"large": bytes(range(256)) * (3 << 12)}  # three pieces
    stored, deflated = (
        modelfile.digest(models.keras(tmp_path / "model.keras", extra, compression))
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )
    assert stored == deflated


def test_the_digest_of_a_saved_model_covers_its_files(tmp_path: Path) -> None:
    first = modelfile.digest(saved_model(tmp_path / "first"))
    assert modelfile.digest(saved_model(tmp_path / "second")) == first
    (tmp_path / "second" / "variables" / "variables.index").write_bytes(b"other")
    assert modelfile.digest(tmp_path / "second") != first


def test_the_digest_of_an_archive_that_unpacks_to_far_more(tmp_path: Path) -> None:
    path = models.keras(tmp_path / "bomb.keras", {"zeros": bytes(100 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="no model does that"):
        modelfile.digest(path)


# --- damage


@pytest.mark.parametrize("size", range(16, 40))
def test_a_file_that_ends_within_edgekit_s_header(tmp_path: Path, size: int) -> None:
    content = models.with_spec(models.tflite(tmp_path / "model.tflite")).read_bytes()
    path = written(tmp_path / "cut.tflite", content[:size])
    for read in (modelfile.read_spec, modelfile.digest):
        with pytest.raises(ModelFileError):
            read(path)


@pytest.mark.parametrize(
    ("start", "size"), [(0, 100), (31, 100), (64, 2**63), (2**64 - 1, 1), (2**63, 2**63), (64, 100), (10**6, 0)]
)
def test_a_header_that_points_elsewhere(tmp_path: Path, start: int, size: int) -> None:
    content = bytearray(models.with_spec(models.tflite(tmp_path / "model.tflite")).read_bytes())
    struct.pack_into("<QQ", content, 16, start, size)
    with pytest.raises(ModelFileError, match=r"^model\.tflite: .* its header points outside of it"):
        modelfile.digest(written(tmp_path / "model.tflite", content))


@pytest.mark.parametrize("root", [1 << 16, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_root_table_that_is_not_there(tmp_path: Path, root: int) -> None:
    content = bytearray(models.tflite(tmp_path / "model.tflite").read_bytes())
    struct.pack_into("<I", content, 0, root)
    with pytest.raises(ModelFileError, match=r"model\.tflite is a damaged \.tflite file"):
        modelfile.read_spec(written(tmp_path / "model.tflite", content))


def test_a_metadata_entry_without_its_buffer(tmp_path: Path) -> None:
    def damage(file: models.TFLiteFile) -> None:
        file.model.metadata[0].buffer = 1000

    with pytest.raises(ModelFileError, match=r"^model\.tflite: .* names a buffer that is not there"):
        modelfile.read_spec(models.tflite(tmp_path / "model.tflite", damage=damage))


def test_a_crowd_of_metadata_entries(tmp_path: Path) -> None:
    """Each would be copied, and all of them may be the same large one."""

    def damage(file: models.TFLiteFile) -> None:
        file.model.metadata *= 1001

    with pytest.raises(ModelFileError, match="1001 metadata entries"):
        modelfile.read_spec(models.tflite(tmp_path / "model.tflite", damage=damage))


def test_many_names_for_one_large_buffer(tmp_path: Path) -> None:
    """Nothing is copied but the entry that is wanted."""

    def damage(file: models.TFLiteFile) -> None:
        file.metadata("large", bytes(1 << 20))
        for number in range(900):
            entry = file.schema.MetadataT()
            entry.name, entry.buffer = f"entry {number}", len(file.model.buffers) - 1
            file.model.metadata.append(entry)

    path = models.tflite(tmp_path / "model.tflite", damage=damage)
    tracemalloc.start()
    assert modelfile.read_spec(path) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_a_metadata_entry_with_an_endless_name(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", damage=lambda file: file.metadata("x" * 1001, b""))
    with pytest.raises(ModelFileError, match=r"model\.tflite has a metadata entry whose name is longer"):
        modelfile.read_spec(path)


def test_an_onnx_property_of_the_wrong_type(tmp_path: Path) -> None:
    path = models.onnx(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes() + bytes([14 << 3, 1]))  # metadata_props as a number
    with pytest.raises(ModelFileError, match=r"^model\.onnx: .* field 14 is a number"):
        modelfile.read_spec(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive(tmp_path: Path, compression: int) -> None:
    """Every byte of a member in turn."""
    path = models.keras(tmp_path / "model.keras", {"edgekit.json": models.spec().to_json().encode()}, compression)
    content = path.read_bytes()
    end = content.rindex(b"edgekit.json", 0, content.index(b"PK\x01\x02"))
    refused = 0
    for at in range(end, content.index(b"PK\x01\x02"), 7):
        written(path, content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        for read in (modelfile.read_spec, modelfile.digest):
            try:
                read(path)
            except (ModelFileError, SpecError):
                refused += 1
    assert refused > 10


# --- flatbuffers


def test_a_table_is_read() -> None:
    vtable = struct.pack("<4H", 8, 12, 4, 8)  # its own size, the table's, and where the two fields are in the table
    table = struct.pack("<iII", 8, 7, 4)  # back to the vtable, a number, and on to a string
    string = struct.pack("<I", 3) + b"abc\0"
    flat = FlatBuffer(memoryview(struct.pack("<II", 16, 0) + vtable + table + string))
    assert flat.root() == 16
    assert flat.scalar(16, 0, "<I") == 7
    assert flat.text(16, 1) == "abc"
    assert flat.field(16, 2) is None
    assert flat.scalar(16, 2, "<I") == 0
    assert bytes(flat.vector(16, 2)) == b""
    assert flat.tables(16, 2) == []
    assert flat.floats(16, 2) == ()
