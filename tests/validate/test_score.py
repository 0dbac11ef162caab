"""All models answer all images in one pass: the same as one by one, in the order of the data."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError, ModelFileError, SpecError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import Crop, Preprocess
from edgekit.validate.score import Latency, Models, latency, score
from tests import models
from tests.keras_models import images


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four files: float and bytes, fixed and open batch, two ways to be fed."""
    folder = tmp_path_factory.mktemp("models")
    padded = models.spec(preprocess=Preprocess("nearest", Crop("pad")))
    return [
        models.with_spec(models.tflite(folder / "open.tflite")),
        models.with_spec(models.tflite(folder / "one.tflite", batch=1)),
        models.with_spec(models.onnx(folder / "bytes.onnx", dtype="uint8"), models.spec("uint8")),
        models.with_spec(models.onnx(folder / "padded.onnx", batch=1), padded),
    ]


def test_the_scores_are_those_of_one_image_at_a_time(paths: list[Path], photos: Path) -> None:
    data, opened = open_dataset(photos), Models(paths)
    progress: list[tuple[int, int]] = []
    scored, seen = score(opened, data, BadImages(), lambda done, total: progress.append((done, total)))
    assert len(seen) == len(data) == 60
    assert progress == [(32, 60), (60, 60)]
    for path, found in zip(paths, scored, strict=True):
        classifier = Classifier(path)
        expected = [classifier.scores(classifier.prepare(data.read(index))[None])[0] for index in range(len(data))]
        assert found.scores.dtype == np.float32
        assert np.abs(found.scores - np.stack(expected)).max() < 1e-6
        assert found.images_per_second > 0
    assert np.abs(scored[0].scores - scored[2].scores).max() < 1e-6
    assert np.abs(scored[0].scores - scored[3].scores).max() > 1e-3  # fed in another way


def test_images_that_cannot_be_read_are_left_out_of_all(paths: list[Path], photos: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 150 if number in (0, 40) else None])
    data, bad = open_dataset(tmp_path), BadImages(2)
    scored, seen = score(Models(paths), data, bad)
    names = {name for name, _ in bad.skipped}
    assert len(names) == 2
    assert len(seen) == 58
    assert {seen.name(index) for index in range(58)} == {data.name(index) for index in range(60)} - names
    assert {len(found.scores) for found in scored} == {58}
    with pytest.raises(DataError, match="2 images cannot be read"):
        score(Models(paths), data, BadImages(1))


def test_a_whole_chunk_that_cannot_be_read(paths: list[Path], tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    from PIL import Image

    Image.fromarray(images(1)[0][0]).save(tmp_path / "99.png")
    scored, seen = score(Models(paths), open_dataset(tmp_path), BadImages(40))
    assert len(seen) == 1
    assert [found.scores.shape for found in scored] == [(1, 3)] * 4


def test_every_thread_has_its_own_interpreter(paths: list[Path]) -> None:
    opened = Models(paths)
    mine, theirs = opened.of_this_thread(), []
    thread = threading.Thread(target=lambda: theirs.extend(opened.of_this_thread()))
    thread.start()
    thread.join()
    assert opened.of_this_thread() is mine
    assert not {id(each.interpreter) for each in mine} & {id(each.interpreter) for each in theirs}


def test_models_that_cannot_be_opened(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nothing\.tflite does not exist"):
        Models([paths[0], tmp_path / "nothing.tflite"])
    with pytest.raises(SpecError, match="carries no edgekit spec"):
        Models([models.tflite(tmp_path / "bare.tflite")])


def test_latency(paths: list[Path]) -> None:
    for path in paths:
        classifier = Classifier(path)
        found = latency(path, classifier.prepare(images(1)[0][0]))
        assert isinstance(found, Latency)
        assert 0 < found.p50 <= found.p95
        assert 0 < found.p50_all_threads <= found.p95_all_threads
