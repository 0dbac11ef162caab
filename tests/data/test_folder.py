from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.core.errors import DataError, ImageError
from edgekit.data.dataset import Dataset, open_dataset

WriteImage = Callable[[Path, int], None]


def names(dataset: Dataset) -> list[str]:
    return [dataset.name(index) for index in range(len(dataset))]


def labels_of(dataset: Dataset) -> list[int | None]:
    return [dataset.label(index) for index in range(len(dataset))]


def test_classes_are_sorted_and_their_images_too(tmp_path: Path, write_image: WriteImage) -> None:
    for number, name in enumerate(["zebra/2.png", "ant/b.png", "Bee/x.png", "zebra/10.png", "ant/a.png"]):
        write_image(tmp_path / name, number)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == ("Bee", "ant", "zebra")
    assert names(dataset) == ["Bee/x.png", "ant/a.png", "ant/b.png", "zebra/10.png", "zebra/2.png"]
    assert labels_of(dataset) == [0, 1, 1, 2, 2]
    assert dataset.targets().tolist() == [0, 1, 1, 2, 2]


def test_integer_classes_are_sorted_by_number(tmp_path: Path, write_image: WriteImage) -> None:
    for number in range(12):
        write_image(tmp_path / str(number) / "a.png", number)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == tuple(str(number) for number in range(12))
    assert labels_of(dataset) == list(range(12))


def test_one_class_that_is_no_integer_makes_the_order_textual(tmp_path: Path, write_image: WriteImage) -> None:
    for number, label in enumerate(["2", "10", "none"]):
        write_image(tmp_path / label / "a.png", number)
    assert open_dataset(tmp_path).labels == ("10", "2", "none")


def test_the_labels_stay_when_the_folder_changes(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "b" / "1.png", 1)
    write_image(tmp_path / "c" / "1.png", 2)
    dataset = open_dataset(tmp_path)
    write_image(tmp_path / "a" / "1.png", 3)
    assert dataset.labels == ("b", "c")
    assert labels_of(dataset) == [0, 1]


def test_folders_inside_a_class_belong_to_it(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "2019" / "may" / "1.png", 1)
    write_image(tmp_path / "a" / "2.png", 2)
    write_image(tmp_path / "b" / "1.png", 3)
    assert names(open_dataset(tmp_path)) == ["a/2.png", "a/2019/may/1.png", "b/1.png"]


def test_hidden_and_other_files_are_ignored(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "1.png", 1)
    write_image(tmp_path / "b" / "1.png", 2)
    write_image(tmp_path / "a" / "._1.png", 3)
    write_image(tmp_path / "a" / ".thumbnails" / "1.png", 4)
    write_image(tmp_path / ".cache" / "1.png", 5)
    (tmp_path / "README.txt").write_text("BM is how a BMP begins")
    (tmp_path / "a" / "notes.txt").write_text("BM is how a BMP begins")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    dataset = open_dataset(tmp_path)
    assert dataset.labels == ("a", "b")
    assert names(dataset) == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize("name", ["photo.png", "photo.PNG", "photo.jpg_large", "photo", "photo.dat", "photo.bmp"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WebP", "GIF"])
def test_the_content_counts_and_not_the_extension(tmp_path: Path, name: str, kind: str) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (5, 4), "white").save(tmp_path / label / name, kind)
    dataset = open_dataset(tmp_path)
    assert names(dataset) == [f"a/{name}", f"b/{name}"]
    image = dataset.read(0)
    assert image.shape == (4, 5, 3)
    assert image.min() >= 253


@pytest.mark.parametrize("extension", ["heic", "tiff", "avif"])
def test_images_in_other_formats_are_named_when_read(tmp_path: Path, write_image: WriteImage, extension: str) -> None:
    write_image(tmp_path / "a" / "1.png", 1)
    write_image(tmp_path / "b" / "1.png", 2)
    (tmp_path / "b" / f"2.{extension}").write_bytes(b"II*\0, or whatever they begin with")
    dataset = open_dataset(tmp_path)
    assert names(dataset) == ["a/1.png", "b/1.png", f"b/2.{extension}"]
    with pytest.raises(ImageError, match=rf"b/2\.{extension}"):
        dataset.read(2)


def test_a_flat_folder_has_no_labels(tmp_path: Path, write_image: WriteImage) -> None:
    for number in (3, 1, 2):
        write_image(tmp_path / f"{number}.png", number)
    dataset = open_dataset(tmp_path)
    assert dataset.labels is None
    assert names(dataset) == ["1.png", "2.png", "3.png"]
    assert labels_of(dataset) == [None, None, None]
    with pytest.raises(DataError, match="no labels"):
        dataset.targets()


def test_images_beside_class_folders_are_refused(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "1.png", 1)
    write_image(tmp_path / "stray.png", 2)
    with pytest.raises(DataError, match=r"stray\.png") as caught:
        open_dataset(tmp_path)
    assert caught.value.exit_code == 2


def test_an_empty_class_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a" / "1.png", 1)
    (tmp_path / "owl" / "deeper").mkdir(parents=True)
    (tmp_path / "owl" / "readme.txt").write_text("no images yet")
    with pytest.raises(DataError, match="owl has no images"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", ["nothing", "text", "hidden"])
def test_a_folder_without_images_is_refused(tmp_path: Path, write_image: WriteImage, content: str) -> None:
    if content == "text":
        (tmp_path / "readme.txt").write_text("text")
    if content == "hidden":
        write_image(tmp_path / ".a" / "1.png", 1)
    with pytest.raises(DataError, match="has no images"):
        open_dataset(tmp_path)


def test_a_folder_of_splits_is_not_taken_for_classes(tmp_path: Path, write_image: WriteImage) -> None:
    for number, name in enumerate(["train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "val/dog/2.png"]):
        write_image(tmp_path / name, number)
    with pytest.raises(DataError, match="folders for splits") as caught:
        open_dataset(tmp_path)
    assert str(tmp_path / "train") in caught.value.hint
    assert open_dataset(tmp_path / "train").labels == ("cat", "dog")


def test_classes_may_be_named_like_splits(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "test" / "1.png", 1)
    write_image(tmp_path / "train" / "1.png", 2)
    assert open_dataset(tmp_path).labels == ("test", "train")


def test_links_are_followed_but_never_in_circles(tmp_path: Path, write_image: WriteImage) -> None:
    root = tmp_path / "data"
    write_image(root / "a" / "1.png", 1)
    write_image(root / "b" / "1.png", 2)
    write_image(tmp_path / "elsewhere" / "2.png", 3)
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "itself").symlink_to(root / "a")
    (root / "a" / "nothing").symlink_to(root / "a" / "nothing")
    (root / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "2.png").symlink_to(root / "b" / "1.png")
    dataset = open_dataset(root)
    assert names(dataset) == ["a/1.png", "a/linked/2.png", "b/1.png", "b/2.png"]
    assert dataset.content_sha256(2) == dataset.content_sha256(3)


def test_many_links_between_folders_end(tmp_path: Path, write_image: WriteImage) -> None:
    folders = [tmp_path / "a" / str(number) for number in range(12)]
    for number, folder in enumerate(folders):
        write_image(folder / "1.png", number)
    for folder in folders:
        for other in folders:
            (folder / f"to-{other.name}").symlink_to(other)
    assert len(open_dataset(tmp_path)) == 12


def test_a_dead_link_and_a_pipe_are_named_when_read(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "3.png", 1)
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "2.png")
    os.mkfifo(tmp_path / "other-pipe")
    dataset = open_dataset(tmp_path)
    assert names(dataset) == ["1.png", "2.png", "3.png"]
    for index in (0, 1):
        with pytest.raises(ImageError, match=rf"{index + 1}\.png"):
            dataset.read(index)
        with pytest.raises(ImageError, match=rf"{index + 1}\.png"):
            dataset.content_sha256(index)


def test_odd_names_work_and_are_safe_to_print(tmp_path: Path, write_image: WriteImage) -> None:
    odd = ["-rf.png", "--max-bad.png", "Grüße 你好 🐈.png", "a\nb\x1b[31m.png", "two  spaces .png", "'quote\".png"]
    for number, name in enumerate(odd):
        write_image(tmp_path / "-class one" / name, number)
        write_image(tmp_path / "klaß zwei" / name, number + 100)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == ("-class one", "klaß zwei")
    assert len(dataset) == 2 * len(odd)
    assert sorted(odd) == [path.name for path in sorted((tmp_path / "-class one").iterdir())]
    for index, name in enumerate(sorted(odd)):
        expected = np.asarray(Image.open(tmp_path / "-class one" / name))
        np.testing.assert_array_equal(dataset.read(index), expected)
    assert all(name.isprintable() for name in names(dataset))


def test_a_name_that_is_not_unicode_is_read_as_a_file_but_refused_as_a_class(
    tmp_path: Path, write_image: WriteImage
) -> None:
    write_image(tmp_path / "a" / os.fsdecode(b"caf\xe9.png"), 1)
    write_image(tmp_path / "b" / "1.png", 2)
    dataset = open_dataset(tmp_path)
    assert dataset.read(0).shape == (6, 8, 3)
    assert dataset.name(0) == "a/caf\N{REPLACEMENT CHARACTER}.png"
    (tmp_path / "b").rename(tmp_path / os.fsdecode(b"\xe9"))
    with pytest.raises(DataError, match="not valid Unicode"):
        open_dataset(tmp_path)


def read_one(folder: Path, content: bytes | Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    """What a data set makes of one image."""
    if isinstance(content, Image.Image):
        buffer = io.BytesIO()
        content.save(buffer, kind, **options)
        content = buffer.getvalue()
    (folder / "image.jpg").write_bytes(content)
    return open_dataset(folder).read(0)


def test_exif_orientation(tmp_path: Path) -> None:
    stored = Image.new("RGB", (16, 8), "white")
    stored.paste("black", (0, 0, 8, 8))  # black on the left; turned clockwise by 90 degrees: on top
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = read_one(tmp_path, stored, "JPEG", exif=exif, quality=95)
    assert upright.shape == (16, 8, 3)
    assert upright[2].max() < 30
    assert upright[13].min() > 225
    ignored = open_dataset(tmp_path).read(0, orientation="ignore")
    assert ignored.shape == (8, 16, 3)
    assert ignored[:, 2].max() < 30


def test_grayscale_cmyk_alpha_palette_and_16_bit(tmp_path: Path) -> None:
    gray = read_one(tmp_path, Image.new("L", (3, 2), 77))
    np.testing.assert_array_equal(gray, np.full((2, 3, 3), 77))
    cmyk = read_one(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert cmyk.shape == (16, 16, 3)
    assert cmyk[..., 0].min() > 225
    assert cmyk[..., 1:].max() < 60
    clear = read_one(tmp_path, Image.new("RGBA", (3, 2), (10, 20, 30, 0)))
    np.testing.assert_array_equal(clear, np.full((2, 3, 3), 255))
    palette = read_one(tmp_path, Image.new("RGB", (3, 2), (250, 10, 20)).convert("P", palette=Image.Palette.ADAPTIVE))
    np.testing.assert_array_equal(palette, np.full((2, 3, 3), (250, 10, 20)))
    deep = read_one(tmp_path, Image.fromarray(np.full((2, 3), 0x8000, np.uint16)))
    assert deep.shape == (2, 3, 3)
    assert 127 <= deep.min() <= deep.max() <= 129


def test_the_first_frame_of_a_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    image = read_one(tmp_path, frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(image, np.full((4, 4, 3), (255, 0, 0)))
