from __future__ import annotations

import hashlib
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset, require_labels
from edgekit.data.items import sort_labels

WriteImage = Callable[[Path, int], None]


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    for number in range(6):
        write_image(tmp_path / "data" / "abc"[number % 3] / f"{number}.png", number)
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["missing", "missing.csv", "missing\x1b[31m"])
def test_no_such_data_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no data set at") as caught:
        open_dataset(tmp_path / name)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["photo.jpg", "data.json", "data.tfrecord"])
def test_other_files_are_no_data_sets(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="is not a data set") as caught:
        open_dataset(tmp_path / name)
    assert ".npz" in caught.value.hint


def test_a_subset_keeps_labels_and_order(folder: Path) -> None:
    dataset = open_dataset(folder)
    part = dataset.subset([5, 0]).subset([1, 0])
    assert len(part) == 2
    assert part.source == folder
    assert part.labels == ("a", "b", "c")
    assert [part.name(0), part.name(1)] == ["a/0.png", "c/5.png"]
    assert part.targets().tolist() == [0, 2]
    assert part.label(1) == 2
    np.testing.assert_array_equal(part.read(1), dataset.read(5))
    assert part.content_sha256(1) == dataset.content_sha256(5)
    assert len(dataset.subset([])) == 0
    assert len(dataset) == 6


def test_the_content_digest_is_that_of_the_file_and_computed_once(folder: Path) -> None:
    dataset = open_dataset(folder)
    expected = hashlib.sha256((folder / "a" / "3.png").read_bytes()).hexdigest()
    assert dataset.subset([1]).content_sha256(0) == expected
    (folder / "a" / "3.png").unlink()
    assert dataset.content_sha256(1) == expected


def test_the_digest_is_of_contents_and_labels_not_of_names(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(folder)
    digest = dataset.digest()
    assert len(digest) == 64
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "a" / "0.png").rename(copy / "a" / "00.png")
    assert open_dataset(copy).digest() == digest
    assert dataset.subset(range(6)).digest() == digest
    assert dataset.subset([1, 0, 2, 3, 4, 5]).digest() != digest
    assert dataset.subset(range(5)).digest() != digest
    (copy / "a").rename(copy / "A")
    assert open_dataset(copy).digest() != digest  # another label
    (copy / "A").rename(copy / "z")
    assert open_dataset(copy).digest() != digest  # another order
    shutil.rmtree(copy)
    shutil.copytree(folder, copy)
    (copy / "b" / "4.png").write_bytes((copy / "b" / "4.png").read_bytes() + b"\0")
    assert open_dataset(copy).digest() != digest


def test_the_same_files_listed_by_folder_or_manifest_have_one_digest(folder: Path) -> None:
    dataset = open_dataset(folder)
    lines = [f"{dataset.name(index)},{'abc'[dataset.label(index) or 0]}" for index in range(6)]
    (folder / "list.csv").write_text("\n".join(["path,label", *lines]))
    assert open_dataset(folder / "list.csv").digest() == dataset.digest()


def test_a_hundred_thousand_items_are_cheap(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("path,label\n" + "".join(f"class/{number}.jpg,{number % 10}\n" for number in range(100_000)))
    tracemalloc.start()
    try:
        dataset = open_dataset(path)
        held = tracemalloc.get_traced_memory()[0]
        part = dataset.subset(range(0, 100_000, 2))
        assert held < 15_000_000
        assert tracemalloc.get_traced_memory()[0] - held < 1_000_000
    finally:
        tracemalloc.stop()
    assert len(dataset) == 100_000
    assert part.name(49_999) == "class/99998.jpg"


def test_labels_for_training(folder: Path) -> None:
    assert require_labels(open_dataset(folder)) == ("a", "b", "c")


def test_no_labels_a_single_class_and_an_empty_class_are_refused(
    folder: Path, tmp_path: Path, write_image: WriteImage
) -> None:
    with pytest.raises(DataError, match="no labels"):
        require_labels(open_dataset(folder / "a"))
    write_image(tmp_path / "single" / "owl" / "1.png", 1)
    dataset = open_dataset(tmp_path / "single")
    assert dataset.labels == ("owl",)
    with pytest.raises(DataError, match="single class 'owl'"):
        require_labels(dataset)
    with pytest.raises(DataError, match="no image of a class: b"):
        require_labels(open_dataset(folder).subset([0, 4]))
    with pytest.raises(DataError, match="no image of 3 classes: a, b, c"):
        require_labels(open_dataset(folder).subset([]))


@pytest.mark.parametrize(("names", "expected"), [
    (["b", "a", "b"], ("a", "b")),
    (["10", "9", "1"], ("1", "9", "10")),
    (["10", "-9", "0"], ("-9", "0", "10")),
    (["01", "1", "0"], ("0", "01", "1")),
    (["10", "9", "1.5"], ("1.5", "10", "9")),
    (["٣", "10", "9"], ("10", "9", "٣")),
    (["9" * 5000, "1"], ("1", "9" * 5000)),
    (["ä", "z", "Z", " a"], (" a", "Z", "z", "ä")),
    ([], ()),
])
def test_the_order_of_labels(names: list[str], expected: tuple[str, ...]) -> None:
    assert sort_labels(names) == expected
    assert sort_labels(reversed(names)) == expected
