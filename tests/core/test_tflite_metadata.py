"""The standard metadata says what the spec says. That others understand it is for test_mediapipe.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgekit.core.tflite_metadata import classifier_metadata, labels_file, read_normalisation
from edgekit.runtime.modelfile import FlatBuffer
from edgekit.runtime.spec import ModelSpec, Preprocess
from tests import models


def spec(mean: tuple[float, ...], std: tuple[float, ...]) -> ModelSpec:
    return models.spec(preprocess=Preprocess("bilinear", mean=mean, std=std))


GRAY = models.spec(
    input=dataclasses.replace(models.spec().input, channels=1),
    preprocess=Preprocess("nearest", channel_order="gray", mean=(1.0,), std=(2.0,)),
)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.0,) * 3, (1.0,) * 3), ((127.5,) * 3, (127.5,) * 3), ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))],
)
def test_the_normalisation_is_read_back(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    found = read_normalisation(classifier_metadata(spec(mean, std)))
    assert found is not None
    np.testing.assert_array_equal(found[0], np.array(mean, np.float32))
    np.testing.assert_array_equal(found[1], np.array(std, np.float32))


def test_a_gray_model_has_one_of_each() -> None:
    assert read_normalisation(classifier_metadata(GRAY)) == ((1.0,), (2.0,))


def test_the_parts_of_the_schema() -> None:
    """The numbers are those of metadata_schema.fbs; this reads them without the writer's helpers."""
    content = classifier_metadata(spec((10.0, 20.0, 30.0), (1.0, 2.0, 4.0)))
    assert content[4:8] == b"M001"
    flat = FlatBuffer(memoryview(content))
    assert flat.text(flat.root(), 7) == "1.5.0"  # ModelMetadata.min_parser_version
    [subgraph] = flat.tables(flat.root(), 3)
    [image], [scores] = flat.tables(subgraph, 2), flat.tables(subgraph, 3)
    assert (flat.text(image, 0), flat.text(scores, 0)) == ("image", "scores")
    content_of_image = flat.reference(image, 3)
    assert content_of_image is not None
    assert flat.scalar(content_of_image, 0, "<B") == 2  # ImageProperties
    stats = flat.reference(image, 5)
    assert stats is not None
    assert flat.floats(stats, 0) == (245.0, 117.5, 56.25)  # the greatest input: (255 − mean) / std
    assert flat.floats(stats, 1) == (-10.0, -10.0, -7.5)  # the least: (0 − mean) / std
    [labels] = flat.tables(scores, 6)
    assert (flat.text(labels, 0), flat.scalar(labels, 2, "<b")) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


BGR = models.spec(preprocess=Preprocess("nearest", channel_order="BGR"))


@pytest.mark.parametrize(("made", "color"), [(models.spec(), 1), (GRAY, 2), (BGR, 0)])
def test_the_colours(made: ModelSpec, color: int) -> None:
    flat = FlatBuffer(memoryview(classifier_metadata(made)))
    image = flat.tables(flat.tables(flat.root(), 3)[0], 2)[0]
    content = flat.reference(image, 3)
    properties = flat.reference(content or 0, 1)
    assert flat.scalar(properties or 0, 0, "<b") == color  # RGB, GRAYSCALE, UNKNOWN


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert classifier_metadata(models.spec()) == classifier_metadata(models.spec())


def test_labels() -> None:
    assert labels_file(models.spec(), 3) == b"red\ngreen\nblue\n"
    assert labels_file(models.spec(labels=("Katze", "Hündin")), 1) == "Hündin\n".encode()
    broken = models.spec(labels=("a\nb", "c\r\nd", "e\u2028f\x85"))
    assert labels_file(broken, 3).decode().splitlines() == ["a\ufffdb", "c\ufffd\ufffdd", "e\ufffdf\ufffd"]


def test_metadata_without_a_normalisation() -> None:
    content = bytearray(classifier_metadata(models.spec()))
    flat = FlatBuffer(memoryview(bytes(content)))
    image = flat.tables(flat.tables(flat.root(), 3)[0], 2)[0]
    [unit] = flat.tables(image, 4)
    kind = flat.field(unit, 0)
    assert kind is not None
    content[kind] = 5  # some other ProcessUnitOptions
    assert read_normalisation(bytes(content)) is None


def test_damaged_metadata_has_no_normalisation_and_raises_nothing() -> None:
    content = classifier_metadata(models.spec())
    for size in range(len(content)):
        read_normalisation(content[:size])
    rng = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] = int(rng.integers(256))
        read_normalisation(bytes(damaged))
