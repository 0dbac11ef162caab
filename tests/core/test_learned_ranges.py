"""Learned ranges in a `.keras` file: there and back, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from edgekit.core import learned_ranges
from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile

RANGES = {"stem relu": (0.0, 5.25), "scores": (-3.0, 7.5)}


def archive(path: Path, document: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            made.writestr(name, "{}")
        if document is not None:
            made.writestr(learned_ranges.MEMBER, document)
    return path


def test_there_and_back(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras")
    assert learned_ranges.read(path) is None
    before = modelfile.digest(path)
    learned_ranges.add(path, RANGES)
    assert learned_ranges.read(path) == RANGES
    assert modelfile.digest(path) != before


def test_other_files_have_none(float_tflite: Path) -> None:
    assert learned_ranges.read(float_tflite) is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("[", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "not of version 1"),
        (json.dumps({"edgekit_ranges": 2, "ranges": {"a": [0, 1]}}), "not of version 1"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {"a": [0, 1]}, "more": 1}), "not of version 1"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {}}), "1 to 100,000"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {"a": [0]}}), "'a' is not two numbers"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {"a": [False, True]}}), "'a' is not two numbers"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {"a": [1, 2]}}), "must hold 0"),
        (json.dumps({"edgekit_ranges": 1, "ranges": {"a": [0, 0]}}), "must hold 0"),
        ('{"edgekit_ranges": 1, "ranges": {"a": [0, Infinity]}}', "must hold 0"),
        ('{"edgekit_ranges": 1, "ranges": {"a": [NaN, 1]}}', "must hold 0"),
        ('{"edgekit_ranges": 1, "ranges": {"a\\u001b": [1, 2]}}', "'a\N{REPLACEMENT CHARACTER}'"),
    ],
)
def test_damaged_ones_are_refused(tmp_path: Path, document: str, words: str) -> None:
    with pytest.raises(ModelFileError, match=r"learned ranges in model\.keras are damaged") as refused:
        learned_ranges.read(archive(tmp_path / "model.keras", document))
    assert words in refused.value.message
