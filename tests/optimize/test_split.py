"""Three parts of the data that share no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.optimize.split import Parts, split


def arrays(folder: Path, classes: Sequence[object] | None, contents: Sequence[int]) -> Dataset:
    """One image per content number; equal numbers are identical images."""
    x = np.asarray(contents, np.uint32).view(np.uint8).reshape(-1, 2, 2)
    path = folder / "data.npz"
    if classes is None:
        np.savez(path, x=x)
    else:
        np.savez(path, x=x, y=np.asarray(classes))
    return open_dataset(path)


def digests(part: Dataset) -> list[str]:
    return [part.content_sha256(index) for index in range(len(part))]


def all_digests(parts: Parts) -> list[str]:
    return [digest for part in (parts.calibration, parts.selection, parts.final) for digest in digests(part)]


def test_each_class_is_split_alike_and_nothing_is_in_two_parts(tmp_path: Path) -> None:
    data = arrays(tmp_path, ["a"] * 200 + ["b"] * 100, range(300))
    parts = split(data, seed=0)
    assert parts.sizes == {"calibration": 75, "selection": 105, "final": 120}
    assert [Counter(part.targets().tolist()) for part in (parts.calibration, parts.selection, parts.final)] == [
        {0: 50, 1: 25}, {0: 70, 1: 35}, {0: 80, 1: 40}
    ]
    assert sorted(all_digests(parts)) == sorted(digests(data))
    assert parts.notes == ()


def test_the_seed_decides(tmp_path: Path) -> None:
    data = arrays(tmp_path, None, range(100))
    assert all_digests(split(data, 1)) == all_digests(split(data, 1)) != all_digests(split(data, 2))


def test_copies_are_left_out(tmp_path: Path) -> None:
    data = arrays(tmp_path, None, [*range(60), *range(40), *[7] * 50])
    parts = split(data, 0)
    assert len(set(all_digests(parts))) == len(all_digests(parts)) == 60
    assert parts.notes[0] == "90 of the 150 images are copies of others and were left out"


def test_of_much_data_most_is_left_to_judge_by(tmp_path: Path) -> None:
    parts = split(arrays(tmp_path, None, range(4000)), 0)
    assert parts.sizes == {"calibration": 200, "selection": 1000, "final": 2800}


def test_classes_of_one_image_do_not_all_go_to_the_first_part(tmp_path: Path) -> None:
    parts = split(arrays(tmp_path, range(200), range(200)), 0)
    assert parts.sizes == {"calibration": 50, "selection": 70, "final": 80}
    assert parts.selection.labels is not None
    assert "without regard to them" in parts.notes[0]


def test_few_images_are_told_and_too_few_refused(tmp_path: Path) -> None:
    parts = split(arrays(tmp_path, None, range(10)), 0)
    assert parts.sizes == {"calibration": 3, "selection": 3, "final": 4}
    assert parts.notes == ("candidates are chosen by 3 images only, of which each counts for 33 points",)
    with pytest.raises(DataError, match="has 9 distinct images, and a search needs 10 or more"):
        split(arrays(tmp_path, None, [*range(9), 3, 3]), 0)


def test_many_small_classes_give_no_more_than_their_share(tmp_path: Path) -> None:
    data = arrays(tmp_path, [number // 12 for number in range(6000)], range(6000))
    parts = split(data, 0)
    assert parts.sizes == {"calibration": 200, "selection": 1000, "final": 4800}
    assert sorted(all_digests(parts)) == sorted(digests(data))
