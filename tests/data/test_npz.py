from __future__ import annotations

import hashlib
import io
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data import npz
from edgekit.data.dataset import open_dataset

Save = Callable[..., None]


def images(count: int = 4, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, *(shape or (5, 7, 3))), np.uint8)


def saved(folder: Path, save: Save = np.savez, **arrays: Any) -> Path:
    path = folder / "data.npz"
    save(path, **arrays)
    return path


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_and_classes(tmp_path: Path, save: Save) -> None:
    x = images()
    dataset = open_dataset(saved(tmp_path, save, x=x, y=np.array([10, 9, 10, -1])))
    assert dataset.labels == ("-1", "9", "10")
    assert dataset.targets().tolist() == [2, 1, 2, 0]
    assert dataset.name(3) == "data.npz[3]"
    for index in range(4):
        np.testing.assert_array_equal(dataset.read(index), x[index])
        assert dataset.content_sha256(index) == hashlib.sha256(x[index].tobytes()).hexdigest()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (1, 3), (3, 1, 1)])
def test_gray_becomes_three_equal_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = images(3, *shape)
    dataset = open_dataset(saved(tmp_path, x=x))
    assert dataset.labels is None
    assert dataset.read(2).shape == (*shape[:2], 3)
    for channel in range(3):
        np.testing.assert_array_equal(dataset.read(2)[..., channel], x[2].reshape(shape[:2]))


def test_names_as_classes(tmp_path: Path) -> None:
    dataset = open_dataset(saved(tmp_path, x=images(), y=np.array(["zwölf", "b", "猫", "b"])))
    assert dataset.labels == ("b", "zwölf", "猫")
    assert dataset.targets().tolist() == [1, 0, 2, 0]


def test_names_of_integer_classes_keep_their_order(tmp_path: Path) -> None:
    path = saved(tmp_path, x=images(), y=np.array([1, 0, 1, 3], np.uint8), labels=np.array(["z", "a", "k", "b"]))
    dataset = open_dataset(path)
    assert dataset.labels == ("z", "a", "k", "b")
    assert dataset.targets().tolist() == [1, 0, 1, 3]


@pytest.mark.parametrize(("arrays", "message"), [
    ({"y": np.arange(4)}, "no array 'x'"),
    ({"x": images() / np.float32(255)}, r"'x' of type float32"),
    ({"x": images().astype(np.int64)}, r"'x' of type int64"),
    ({"x": images(4, 5, 7, 4)}, r"'x' of shape \(4, 5, 7, 4\)"),
    ({"x": images(4, 5)}, r"'x' of shape \(4, 5\)"),
    ({"x": images(0)}, r"'x' of shape \(0, 5, 7, 3\)"),
    ({"x": np.zeros((10**12, 0, 5, 3), np.uint8)}, "'x' of shape"),
    ({"x": np.uint8(5)}, r"'x' of shape \(\)"),
    ({"x": np.asfortranarray(images())}, "Fortran order"),
    ({"x": images(), "y": np.arange(3)}, "4 images in 'x' but 3 classes in 'y'"),
    ({"x": images(), "y": np.zeros(4)}, "'y' of type float64"),
    ({"x": images(), "y": np.zeros(4, bool)}, "'y' of type bool"),
    ({"x": images(), "y": np.array([b"a", b"b", b"a", b"b"])}, r"'y' of type \|S1"),
    ({"x": images(), "y": np.eye(4, dtype=int)}, r"'y' of shape \(4, 4\)"),
    ({"x": images(), "y": np.array(["a", "b", "", "a"])}, "class name of 0 characters"),
    ({"x": images(), "y": np.arange(4), "labels": np.array(["a", "b", "c"])}, "classes 0 to 3"),
    ({"x": images(), "y": np.arange(4) - 1, "labels": np.array(["a", "b", "c"])}, "classes -1 to 2"),
    ({"x": images(), "y": np.arange(4), "labels": np.array(["a", "b", "c", "a"])}, "the same name twice"),
    ({"x": images(), "y": np.arange(4), "labels": np.arange(4)}, "'labels' of type int64"),
    ({"x": images(), "y": np.array(list("abab")), "labels": np.array(["a", "b"])}, "'y' holds names already"),
    ({"x": images(), "y": np.array([1, "a", None, 2], object)}, "Python objects in 'y'"),
    ({"x": np.array([images(1)[0], None], object)}, "Python objects in 'x'"),
])
def test_what_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(saved(tmp_path, **arrays))
    assert "data.npz" in caught.value.message


def test_floats_come_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(saved(tmp_path, x=images() / 255))
    assert "uint8" in caught.value.hint


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> Any:
            return open, (str(marker), "w")

    path = saved(tmp_path, x=images(1), y=np.array([Trap()], object))
    with pytest.raises(DataError, match="Python objects"):
        open_dataset(path)
    assert not marker.exists()


@pytest.mark.parametrize("extra", [-1, 1, 1000])
def test_the_member_must_be_as_long_as_its_header_says(tmp_path: Path, extra: int) -> None:
    content = npy(images())
    path = zipped(tmp_path, {"x.npy": content[:extra] if extra < 0 else content + bytes(extra)})
    with pytest.raises(DataError, match="damaged"):
        open_dataset(path)


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    content = npy(images()).replace(b"(4, 5, 7, 3), ", b"(4000000000000000000, 5, 7, 3), ")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="damaged"):
            open_dataset(zipped(tmp_path, {"x.npy": content}))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_whose_directory_lies_about_a_size(tmp_path: Path) -> None:
    """The member inflates to far more than the archive's directory and its header agree on."""
    x = images(2)
    honest = npy(x)
    path = zipped(tmp_path, {"x.npy": honest + bytes(50 << 20)}, zipfile.ZIP_DEFLATED)
    raw = path.read_bytes()
    grown = len(honest + bytes(50 << 20)).to_bytes(4, "little")
    assert raw.count(grown) == 2  # in the member's own header, and in the directory
    path.write_bytes(raw.replace(grown, len(honest).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged"):
        open_dataset(path)


def test_an_array_without_room_for_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, x=images())
    monkeypatch.setattr(npz, "MAX_IMAGES_BYTES", 100)
    with pytest.raises(DataError, match="no room") as caught:
        open_dataset(path)
    assert "TMPDIR" in caught.value.hint


def test_larger_classes_and_images_than_possible_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, x=images(), y=np.arange(4))
    monkeypatch.setattr(npz, "MAX_LABELS_BYTES", 8)
    with pytest.raises(DataError, match="in 'y'"):
        open_dataset(path)
    monkeypatch.setattr(npz, "MAX_PIXELS", 34)
    with pytest.raises(DataError, match="5 x 7 pixels"):
        open_dataset(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, x=images(4, 50, 50, 3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        open_dataset(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04]\x94.", bytes(1000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged, or is not an \.npz"):
        open_dataset(path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="compression"):
        open_dataset(zipped(tmp_path, {"x.npy": npy(images())}, zipfile.ZIP_LZMA))


@pytest.mark.parametrize("seed", range(3))
def test_damaged_archives_raise_nothing_else(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    good = {"x.npy": npy(images()), "y.npy": npy(np.arange(4)), "labels.npy": npy(np.array(list("abcd")))}
    refused = 0
    for _ in range(150):
        members = {name: bytearray(content) for name, content in good.items()}
        for place in random.integers(0, 128, 2):
            members[random.choice(list(members))][place] = random.choice(list(b"()'{},:<OU0123456789\n\0\xff"))
        try:
            dataset = open_dataset(zipped(tmp_path, {name: bytes(content) for name, content in members.items()}))
            dataset.read(len(dataset) - 1)
        except DataError:
            refused += 1
    assert refused > 100


def test_ten_thousand_images_need_the_memory_of_one(tmp_path: Path) -> None:
    count = 10_000
    x = np.arange(count, dtype=np.uint32).view(np.uint8).reshape(count, 4, 1, 1).repeat(500, axis=2)
    path = saved(tmp_path, x=x, y=np.arange(count) % 10)
    tracemalloc.start()
    try:
        dataset = open_dataset(path)
        for index in range(count):
            assert dataset.read(index)[:, 3, 1].tobytes() == index.to_bytes(4, "little")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes == 20_000_000
    assert peak < 8_000_000


def test_reading_in_threads(tmp_path: Path) -> None:
    x = images(300, 40, 40, 3)
    dataset = open_dataset(saved(tmp_path, x=x))
    with ThreadPoolExecutor(8) as executor:
        for index, image in zip([*range(300)] * 3, executor.map(dataset.read, [*range(300)] * 3), strict=True):
            np.testing.assert_array_equal(image, x[index])


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    dataset = open_dataset(saved(tmp_path, x=images()))
    assert list((tmp_path / "temporary").iterdir()) == []
    (tmp_path / "data.npz").unlink()
    np.testing.assert_array_equal(dataset.read(1), images()[1])
