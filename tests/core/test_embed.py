"""A spec inside a model file changes nothing of the model, and survives being replaced."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core import embed
from edgekit.core.errors import ModelFileError, OutputError
from edgekit.runtime import modelfile
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec, OutputSpec, Provenance
from tests import models

BINARY = models.spec(labels=("cat", "dog"), output=OutputSpec("scores", "sigmoid"))

# Each writes a model without a spec, and comes with a spec that fits it.
MAKERS: dict[str, tuple[Callable[[Path], Path], ModelSpec]] = {
    "tflite": (lambda folder: models.tflite(folder / "model.tflite"), models.spec()),
    "tflite, uint8": (lambda folder: models.tflite(folder / "model.tflite", dtype="uint8"), models.spec("uint8")),
    "tflite, one image": (lambda folder: models.tflite(folder / "model.tflite", batch=1), models.spec()),
    "tflite, ZIP behind": (lambda folder: models.tflite(folder / "model.tflite", zip_trailer=True), models.spec()),
    "tflite, binary": (
        lambda folder: models.tflite(folder / "model.tflite", activation="LOGISTIC", weights=models.WEIGHTS[:1]),
        BINARY,
    ),
    "onnx": (lambda folder: models.onnx(folder / "model.onnx"), models.spec()),
    "onnx, uint8": (lambda folder: models.onnx(folder / "model.onnx", dtype="uint8"), models.spec("uint8")),
    "keras": (lambda folder: models.keras(folder / "model.keras"), models.spec()),
}
MAKERS_THAT_RUN = {name: maker for name, maker in MAKERS.items() if name != "keras"}


@pytest.fixture(params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ModelSpec]:
    make, spec = MAKERS[request.param]
    return make(tmp_path), spec


def answers(path: Path) -> NDArray[np.float32]:
    interpreter = open_interpreter(path)
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 3)).repeat(models.SIDE, 1).repeat(models.SIDE, 2)
    return interpreter.run(images.astype(interpreter.input.dtype))


def tflite_parts(path: Path) -> Any:
    """The whole file through TFLite's own schema."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))


def plain(part: Any) -> Any:
    """A part of a model as lists and dicts, which can be compared."""
    if hasattr(part, "__dict__"):
        return {name: plain(value) for name, value in vars(part).items()}
    if isinstance(part, (list, tuple, np.ndarray)):
        return [plain(item) for item in part]
    return part


def test_there_and_back(model: tuple[Path, ModelSpec], tmp_path: Path) -> None:
    path, spec = model
    target = tmp_path / f"with{path.suffix}"
    before = path.read_bytes()
    assert modelfile.read_spec(path) is None
    embed.write_spec(path, spec, target)
    assert modelfile.read_spec(target) == spec
    assert modelfile.sniff(target) == modelfile.sniff(path)
    assert path.read_bytes() == before


def test_the_digest_stays(model: tuple[Path, ModelSpec], tmp_path: Path) -> None:
    path, spec = model
    before = modelfile.digest(path)
    models.with_spec(path, spec)
    assert modelfile.digest(path) == before
    models.with_spec(path, dataclasses.replace(spec, provenance=Provenance("elsewhere" * 1000)))
    assert modelfile.digest(path) == before


def test_embedding_again_gives_the_same_bytes(model: tuple[Path, ModelSpec]) -> None:
    path, spec = model
    once = models.with_spec(path, spec).read_bytes()
    assert models.with_spec(path, spec).read_bytes() == once
    longer = models.with_spec(path, dataclasses.replace(spec, provenance=Provenance("x" * 5000))).read_bytes()
    assert len(longer) > len(once)
    assert models.with_spec(path, spec).read_bytes() == once


@pytest.mark.parametrize("name", MAKERS_THAT_RUN)
def test_the_answers_are_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    make, spec = MAKERS_THAT_RUN[name]
    path = make(tmp_path)
    before = answers(path)
    assert np.ptp(before) > 0.01  # they say something
    assert (answers(models.with_spec(path, spec)) == before).all()
    assert (answers(models.with_spec(path, spec)) == before).all()


@pytest.mark.parametrize("zip_trailer", [False, True])
def test_other_readers_see_the_same_tflite_model(tmp_path: Path, zip_trailer: bool) -> None:
    path = models.tflite(tmp_path / "model.tflite", zip_trailer=zip_trailer)
    before = tflite_parts(path)
    after = tflite_parts(models.with_spec(path))
    for name in ("version", "description", "operatorCodes", "subgraphs", "signatureDefs", "metadataBuffer"):
        assert plain(getattr(after, name)) == plain(getattr(before, name)), name
    assert plain(after.buffers[: len(before.buffers)]) == plain(before.buffers)
    assert [entry.name for entry in after.metadata] == [b"min_runtime_version", b"TFLITE_METADATA", b"EDGEKIT_SPEC"]


def test_metadata_of_others_is_kept(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", damage=lambda file: file.metadata("CONVERSION_METADATA", b"\1\2\3"))
    models.with_spec(models.with_spec(path), models.spec(scheme="unknown"))
    with modelfile.mapped(path) as data:
        found = modelfile.tflite_metadata(data)
    assert bytes(found["min_runtime_version"]) == b"1.14.0".ljust(16, b"\0")
    assert bytes(found["CONVERSION_METADATA"]) == b"\1\2\3"
    assert set(found) == {"min_runtime_version", "CONVERSION_METADATA", "TFLITE_METADATA", "EDGEKIT_SPEC"}


def test_the_body_is_the_model_as_it_was(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite")
    before = path.read_bytes()
    after = models.with_spec(path).read_bytes()
    start, end = modelfile.tflite_body(memoryview(after))
    assert after[start:end] == before
    assert start % 64 == 0  # whatever was aligned still is
    assert modelfile.digest(path) == hashlib.sha256(before).hexdigest()


def test_new_buffers_are_aligned(tmp_path: Path) -> None:
    """Each Buffer.data is `force_align: 16` in schema.fbs."""
    path = models.with_spec(models.tflite(tmp_path / "model.tflite"), models.spec(provenance=Provenance("odd")))
    content = path.read_bytes()
    flat = modelfile.FlatBuffer(memoryview(content))
    for table in flat.tables(flat.root(), modelfile.MODEL_BUFFERS)[-2:]:
        start = flat.reference(table, modelfile.BUFFER_DATA)
        assert start is not None
        assert (start + 4) % 16 == 0


@pytest.mark.parametrize("zip_trailer", [False, True])
def test_the_labels_lie_in_a_zip_behind(tmp_path: Path, zip_trailer: bool) -> None:
    path = models.with_spec(models.tflite(tmp_path / "model.tflite", zip_trailer=zip_trailer))
    for _ in range(2):
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["labels.txt"]
            assert archive.read("labels.txt") == b"red\ngreen\nblue\n"
        models.with_spec(path)


def test_a_binary_model_has_as_many_labels_there_as_scores(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", activation="LOGISTIC", weights=models.WEIGHTS[:1])
    with zipfile.ZipFile(models.with_spec(path, BINARY)) as archive:
        assert archive.read("labels.txt") == b"dog\n"


def test_weights_outside_of_the_flatbuffer_survive(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", weights_outside=True)
    inside = models.tflite(tmp_path / "inside.tflite")
    before = answers(path)
    assert (before == answers(inside)).all()
    assert (answers(models.with_spec(path)) == before).all()
    assert plain(tflite_parts(path).subgraphs) == plain(tflite_parts(inside).subgraphs)
    assert all(not buffer.offset for buffer in tflite_parts(path).buffers)
    with modelfile.mapped(path) as data:
        assert bytes(modelfile.tflite_metadata(data)["min_runtime_version"]) == b"1.14.0".ljust(16, b"\0")
    digest = modelfile.digest(path)
    assert modelfile.digest(models.with_spec(path)) == digest


def test_inlining_leaves_other_files_alone(tmp_path: Path) -> None:
    content = models.tflite(tmp_path / "model.tflite").read_bytes()
    assert embed.inline_weights(content) == content


@pytest.mark.parametrize("cut", [0, 40, 71])
def test_weights_that_lie_beyond_the_end(tmp_path: Path, cut: int) -> None:
    content = models.tflite(tmp_path / "model.tflite", weights_outside=True).read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: models.OUTSIDE + cut])
    with pytest.raises(ModelFileError, match="damaged"):
        embed.write_spec(tmp_path / "cut.tflite", models.spec(), tmp_path / "x.tflite")
    assert not (tmp_path / "x.tflite").exists()


def test_onnx_itself_sees_the_same_model(tmp_path: Path) -> None:
    import onnx

    path = models.onnx(tmp_path / "model.onnx")
    before = onnx.load(path)
    models.with_spec(models.with_spec(path), models.spec(scheme="unknown"))
    after = onnx.load(path)
    onnx.checker.check_model(after)
    properties = {entry.key: entry.value for entry in after.metadata_props}
    assert properties == {"author": "somebody", "edgekit_spec": models.spec(scheme="unknown").to_json()}
    del before.metadata_props[:]
    del after.metadata_props[:]
    assert after == before


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_keras_archive_keeps_its_other_members(tmp_path: Path, compression: int) -> None:
    path = models.keras(tmp_path / "model.keras", {"assets/vocabulary": bytes(100_000)}, compression)
    with zipfile.ZipFile(path) as archive:
        before = [(name, archive.read(name)) for name in archive.namelist()]
    models.with_spec(models.with_spec(path))
    with zipfile.ZipFile(path) as archive:
        assert [(name, archive.read(name)) for name in archive.namelist()[:-1]] == before
        assert archive.namelist()[-1] == "edgekit.json"
        assert archive.read("edgekit.json").decode() == models.spec().to_json()


def test_labels_of_any_script(tmp_path: Path, model: tuple[Path, ModelSpec]) -> None:
    path, spec = model
    labels = ("猫", "собака", "naïve “café”")[: len(spec.labels)]
    spec = dataclasses.replace(spec, labels=labels)
    assert modelfile.read_spec(models.with_spec(path, spec)) == spec


def test_as_many_labels_as_a_spec_may_have(tmp_path: Path) -> None:
    spec = models.spec(labels=[f"label {number}" for number in range(100_000)])
    path = models.with_spec(models.onnx(tmp_path / "model.onnx"), spec)
    assert modelfile.read_spec(path) == spec


@pytest.mark.parametrize("content", [b"{}", b"\x89HDF\r\n\x1a\n", b"hello", b"PK\x03\x04"])
def test_files_of_other_kinds_carry_no_spec(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.tflite").write_bytes(content)
    with pytest.raises(ModelFileError, match="cannot carry a spec"):
        embed.write_spec(tmp_path / "file.tflite", models.spec(), tmp_path / "x.tflite")
    assert not (tmp_path / "x.tflite").exists()


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        embed.write_spec(tmp_path / "missing.tflite", models.spec(), tmp_path / "x.tflite")


def test_a_target_that_cannot_be_written(model: tuple[Path, ModelSpec], tmp_path: Path) -> None:
    path, spec = model
    with pytest.raises(OutputError, match="does not exist"):
        embed.write_spec(path, spec, tmp_path / "missing" / "x.tflite")


def test_a_damaged_archive_is_refused_and_stays(tmp_path: Path) -> None:
    path = models.keras(tmp_path / "model.keras", compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[content.index(b"config.json") + len(b"config.json") + 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"damaged \.keras archive"):
        models.with_spec(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("field", [1, 2, 3, 5, 7])
def test_a_table_of_the_model_that_points_nowhere(tmp_path: Path, field: int) -> None:
    """Fields of Model that edgekit itself does not read: operator codes, subgraphs, description, and so on."""

    def fill(file: models.TFLiteFile) -> None:
        signature = file.schema.SignatureDefT()
        signature.signatureKey, signature.inputs, signature.outputs = "serving_default", [], []
        file.model.signatureDefs, file.model.metadataBuffer = [signature], [0]

    path = models.tflite(tmp_path / "model.tflite", damage=fill)
    content = bytearray(path.read_bytes())
    flat = modelfile.FlatBuffer(memoryview(bytes(content)))
    at = flat.field(flat.root(), field)
    assert at is not None
    struct.pack_into("<I", content, at, 0x7FFFFFF0)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"^model\.tflite: The \.tflite file is damaged"):
        models.with_spec(path)
    assert path.read_bytes() == content
