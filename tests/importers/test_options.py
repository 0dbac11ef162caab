"""What people type about a foreign model."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import EdgekitError
from edgekit.importers.options import SpecOptions, parse_channels, parse_crop, parse_labels, parse_size
from edgekit.runtime.spec import Crop


def test_whether_anything_was_said() -> None:
    assert not SpecOptions().given
    assert SpecOptions(mean="0").given
    assert SpecOptions(labels="").given


def test_labels_from_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_labels("cat,dog") == ("cat", "dog")
    assert parse_labels(" tabby cat , Ähre,7") == ("tabby cat", "Ähre", "7")


@pytest.mark.parametrize("content", ["cat\ndog\n", "cat\r\ndog", "\ufeffcat\ndog\n\n\n", " cat \n\tdog\n"])
def test_labels_from_a_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels, of pets.txt"
    path.write_bytes(content.encode())
    assert parse_labels(str(path)) == ("cat", "dog")


def test_labels_of_a_file_may_have_commas(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("tench, Tinca tinca\ngoldfish, Carassius auratus\n")
    assert parse_labels(str(path)) == ("tench, Tinca tinca", "goldfish, Carassius auratus")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\ndog\n", "label 2 is empty"),
        (b"cat\n\x1b[31mdog\n", "label 2 has control characters"),
        (b"\xff\xfe\x00c", "is not a text file"),
    ],
)
def test_files_that_hold_no_labels(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(EdgekitError, match=message):
        parse_labels(str(path))


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"Cannot read --labels .*nothing\.txt: No such file") as raised:
        parse_labels(str(tmp_path / "nothing.txt"))
    assert "cat,dog" in raised.value.hint
    with pytest.raises(EdgekitError, match="Is a directory"):
        parse_labels(str(tmp_path))
    with pytest.raises(EdgekitError, match="label 2 is empty"):
        parse_labels("cat,,dog")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(EdgekitError, match="too large for a list of labels"):
        parse_labels(str(tmp_path / "large"))


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("240x320", (240, 320)), ("240×320", (240, 320)), (" 96 ", (96, 96))]
)
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-3", "2.5", "224x", "x224", "224x224x3", "9000", "99999", "224,224", "ten"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(EdgekitError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "crop"),
    [
        ("none", Crop("none")),
        ("pad", Crop("pad")),
        ("center", Crop("center", 1.0)),
        ("center:0.875", Crop("center", 0.875)),
        ("center:1", Crop("center", 1.0)),
    ],
)
def test_crops(text: str, crop: Crop) -> None:
    assert parse_crop(text) == crop


@pytest.mark.parametrize(
    "text", ["", "centre", "center:0", "center:1.5", "center:-1", "center:nan", "center:x", "pad:0.5", "none:1"]
)
def test_no_crops(text: str) -> None:
    with pytest.raises(EdgekitError, match="is not a crop"):
        parse_crop(text)


def test_numbers_for_channels() -> None:
    assert parse_channels("--mean", "127.5", 3) == (127.5, 127.5, 127.5)
    assert parse_channels("--mean", "103.939, 116.779 ,123.68", 3) == (103.939, 116.779, 123.68)
    assert parse_channels("--mean", "-1", 1) == (-1.0,)
    assert parse_channels("--std", "1e2", 1) == (100.0,)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--mean", "1,2"),
        ("--mean", "1,2,3,4"),
        ("--mean", "one"),
        ("--mean", ""),
        ("--mean", "nan"),
        ("--mean", "inf"),
        ("--std", "0"),
        ("--std", "-1"),
        ("--std", "1,0,1"),
    ],
)
def test_no_numbers_for_channels(option: str, text: str) -> None:
    with pytest.raises(EdgekitError, match=f"{option} {text} does not fit a model of 3 channels"):
        parse_channels(option, text, 3)
