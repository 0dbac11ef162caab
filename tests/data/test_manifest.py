from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.core.errors import DataError, ImageError
from edgekit.data.dataset import open_dataset

WriteImage = Callable[[Path, int], None]


def manifest(folder: Path, text: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "images" / "1.png", 1)
    write_image(tmp_path / "images" / "2, or -3.png", 2)
    dataset = open_dataset(manifest(tmp_path, 'path,label\nimages/1.png,dog\n\n"images/2, or -3.png", cat \n'))
    assert dataset.labels == ("cat", "dog")
    assert [dataset.label(0), dataset.label(1)] == [1, 0]
    assert dataset.name(1) == "images/2, or -3.png"
    assert dataset.read(1).shape == (6, 8, 3)


def test_csv_from_a_spreadsheet(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfpath , label,comment\r\na.png,caf\xc3\xa9,\r\nb.png,\xe7\x8c\xab,second\r\n"
    dataset = open_dataset(manifest(tmp_path, text))
    assert dataset.labels == ("café", "猫")
    assert dataset.name(0) == "a.png"


def test_paths_are_relative_to_the_manifest_or_absolute(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "1.png", 1)
    (tmp_path / "lists").mkdir()
    path = manifest(tmp_path / "lists", f"path,label\n../1.png,a\n{tmp_path / '1.png'},b\n")
    dataset = open_dataset(path)
    assert dataset.read(0).tolist() == dataset.read(1).tolist()
    assert dataset.content_sha256(0) == dataset.content_sha256(1)


def test_jsonl(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "b.png", 1)
    lines = ["\ufeff" + json.dumps({"path": "a.png", "label": 10}), "",
             json.dumps({"label": 9, "path": "b.png", "width": 5}), json.dumps({"path": "c.png", "label": "9"})]
    dataset = open_dataset(manifest(tmp_path, "\r\n".join(lines), "data.JSONL"))
    assert dataset.labels == ("9", "10")
    assert [dataset.label(index) for index in range(3)] == [1, 0, 0]
    assert dataset.read(1).shape == (6, 8, 3)


def test_numbers_as_labels(tmp_path: Path) -> None:
    lines = [json.dumps({"path": f"{label}.png", "label": label}) for label in (3, 0.5, "x")]
    assert open_dataset(manifest(tmp_path, "\n".join(lines), "data.jsonl")).labels == ("0.5", "3", "x")


@pytest.mark.parametrize(("name", "text"), [
    ("data.csv", "path\na.png\nb.png\n"),
    ("data.jsonl", '{"path": "a.png"}\n{"path": "b.png", "label": null}\n'),
])
def test_without_labels(tmp_path: Path, name: str, text: str) -> None:
    dataset = open_dataset(manifest(tmp_path, text, name))
    assert dataset.labels is None
    assert len(dataset) == 2
    assert dataset.label(0) is None


def test_a_missing_file_is_named_when_it_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(manifest(tmp_path, "path,label\ngone.png,a\n.,b\n"))
    for index, name in enumerate([r"gone\.png", re.escape(str(tmp_path))]):
        with pytest.raises(ImageError, match=name):
            dataset.read(index)
        with pytest.raises(ImageError, match=name):
            dataset.content_sha256(index)


@pytest.mark.parametrize(("text", "message"), [
    ("", "line 1 is not a header"),
    ("file,class\na.png,x\n", "line 1 is not a header"),
    ("path;label\na.png;x\n", "line 1 is not a header"),
    ("path,path\na,b\n", "line 1 is not a header"),
    ("path,label,label\na,b,c\n", "line 1 is not a header"),
    ("path,label\n", "names no images"),
    ("path,label\na.png,x\nb.png\n", "line 3 has 1 cells, but the header has 2"),
    ("path,label\na.png,x,y\n", "line 2 has 3 cells"),
    ("path,label\na.png,x\n\n,y\n", "line 4 has no path"),
    ("path,label\na.png,x\nb.png, \n", "line 3 has an empty label"),
    ('path,label\n"a.png,x\n', "line 2 is not valid CSV"),
    ("path,label\na\0.png,x\n", "line 2 has a path that no file can have"),
    (b"path,label\na.png,x\nb.png,caf\xe9\n", "line 3 is not UTF-8"),
    ("path,label\n".encode("utf-16"), "line 1 is not UTF-8"),
    ("path,label\na.png," + "x" * 501, "a class name of 501 characters"),
    (b"path,label\n" + b"x" * (2 << 20), "line 2 is longer than 1 MB"),
    ("path,label\n" + "x" * 200_000 + ",a\n", "line 2 is not valid CSV"),
])
def test_bad_csv(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(manifest(tmp_path, text))
    assert "data.csv" in caught.value.message


@pytest.mark.parametrize(("line", "message"), [
    ("path,label", "line 2 is not valid JSON"),
    ("[" * 100_000, "line 2 is not valid JSON"),
    ('["a.png", "x"]', "line 2 is not a JSON object"),
    ('{"label": "x"}', "line 2 has no path"),
    ('{"path": 5, "label": "x"}', "line 2 has no path"),
    ('{"path": "", "label": "x"}', "line 2 has no path"),
    ('{"path": "a\\u0000.png", "label": "x"}', "line 2 has a path that no file can have"),
    ('{"path": "a\\ud800.png", "label": "x"}', "line 2 has a path that no file can have"),
    ('{"path": "a.png"}', "line 2 has no label, but the line before it has one"),
    ('{"path": "a.png", "label": true}', "line 2 has a label that is neither text nor a number"),
    ('{"path": "a.png", "label": ["x"]}', "line 2 has a label that is neither text nor a number"),
    ('{"path": "a.png", "label": NaN}', "line 2 has a label that is not a finite number"),
    ('{"path": "a.png", "label": "  "}', "line 2 has an empty label"),
    ('{"path": "a.png", "label": "\\ud800"}', "not valid Unicode"),
])
def test_bad_jsonl(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(manifest(tmp_path, '{"path": "1.png", "label": "a"}\n' + line + "\n", "data.jsonl"))


def test_a_label_after_unlabelled_lines(tmp_path: Path) -> None:
    text = '{"path": "1.png"}\n{"path": "2.png"}\n{"path": "3.png", "label": "a"}\n'
    with pytest.raises(DataError, match="line 3 has a label, but the line before it has none"):
        open_dataset(manifest(tmp_path, text, "data.jsonl"))


def test_terminal_codes_do_not_reach_the_message(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(manifest(tmp_path, 'path,label\n"\x1b[31m\0",x\n'))
    assert "\x1b" not in str(caught.value)
    assert "\x1b" not in open_dataset(manifest(tmp_path, "path\n\x1b[31m.png\n")).name(0)
