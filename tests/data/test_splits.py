from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError, ImageError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.splits import duplicates_across_classes, evenly, folds, stratified_sample, stratified_split

WriteImage = Callable[[Path, int], None]


def arrays(folder: Path, classes: Sequence[object] | None, contents: Sequence[int] | None = None) -> Dataset:
    """One image per content number; equal numbers are identical images."""
    contents = range(len(classes or ())) if contents is None else contents
    x = np.asarray(contents, np.uint32).view(np.uint8).reshape(-1, 2, 2)
    path = folder / "data.npz"
    if classes is None:
        np.savez(path, x=x)
    else:
        np.savez(path, x=x, y=np.asarray(classes))
    return open_dataset(path)


def contents(dataset: Dataset, part: list[int]) -> set[str]:
    return {dataset.content_sha256(index) for index in part}


def per_class(dataset: Dataset, part: list[int]) -> Counter[int | None]:
    return Counter(map(dataset.label, part))


def test_parts_are_disjoint_complete_sorted_and_stratified(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, ["a"] * 100 + ["b"] * 50 + ["c"] * 10)
    parts = stratified_split(dataset, [0.7, 0.2, 0.1], seed=1)
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(160))
    assert all(part == sorted(part) for part in parts)
    assert [per_class(dataset, part) for part in parts] == [
        {0: 70, 1: 35, 2: 7}, {0: 20, 1: 10, 2: 2}, {0: 10, 1: 5, 2: 1}]


def test_the_seed_decides(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, [number % 3 for number in range(60)])
    first = stratified_split(dataset, [0.8, 0.2], seed=1)
    assert stratified_split(dataset, [0.8, 0.2], seed=1) == first
    assert stratified_split(dataset, [0.8, 0.2], seed=2) != first


def test_the_split_is_known(tmp_path: Path) -> None:
    """A change of these numbers moves everyone's test images into their training set."""
    dataset = arrays(tmp_path, [number % 2 for number in range(12)])
    assert stratified_split(dataset, [0.5, 0.5], seed=7) == [[3, 4, 5, 6, 7, 10], [0, 1, 2, 8, 9, 11]]
    assert folds(dataset, 3, seed=7) == [[0, 4, 7, 11], [1, 2, 3, 6], [5, 8, 9, 10]]
    assert stratified_sample(dataset, 5, seed=7) == [3, 4, 6, 7, 10]


def test_names_and_listing_order_do_not_matter(tmp_path: Path, write_image: WriteImage) -> None:
    for number in range(40):
        write_image(tmp_path / "one" / "ab"[number % 2] / f"{number}.png", number)
    (tmp_path / "two" / "a").mkdir(parents=True)
    (tmp_path / "two" / "b").mkdir()
    for number in range(40):
        label = "ab"[number % 2]
        shutil.copy(tmp_path / "one" / label / f"{number}.png", tmp_path / "two" / label / f"{97 - number} renamed.jpg")
    one, two = open_dataset(tmp_path / "one"), open_dataset(tmp_path / "two")
    assert [one.content_sha256(index) for index in range(40)] != [two.content_sha256(index) for index in range(40)]
    for seed in range(3):
        for first, second in zip(stratified_split(one, [0.6, 0.4], seed), stratified_split(two, [0.6, 0.4], seed),
                                 strict=True):
            assert contents(one, first) == contents(two, second)
        for first, second in zip(folds(one, 4, seed), folds(two, 4, seed), strict=True):
            assert contents(one, first) == contents(two, second)
        assert contents(one, stratified_sample(one, 9, seed)) == contents(two, stratified_sample(two, 9, seed))


def test_a_change_in_one_class_leaves_the_others(tmp_path: Path) -> None:
    before = arrays(tmp_path, [0] * 20 + [1] * 20)
    after = arrays(tmp_path, [0] * 20 + [1] * 20 + [0] * 5)
    split_before = stratified_split(before, [0.5, 0.5], seed=3)
    split_after = stratified_split(after, [0.5, 0.5], seed=3)
    assert [index for index in split_before[0] if before.label(index) == 1] == [
        index for index in split_after[0] if after.label(index) == 1]


@pytest.mark.parametrize("seed", range(5))
def test_identical_bytes_never_land_on_both_sides(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    # Many copies, some of them even in several classes.
    dataset = arrays(tmp_path, random.integers(0, 3, 200).tolist(), random.integers(0, 60, 200).tolist())
    for parts in (stratified_split(dataset, [0.6, 0.2, 0.2], seed), folds(dataset, 5, seed)):
        assert sorted(chain.from_iterable(parts)) == list(range(200))
        digests = [contents(dataset, part) for part in parts]
        assert sum(map(len, digests)) == len(set.union(*digests))


@pytest.mark.parametrize(("count", "fractions", "expected"), [
    (1, [0.8, 0.2], [1, 0]),
    (1, [0.2, 0.8], [1, 0]),
    (1, [0, 0.5, 0.5], [0, 1, 0]),
    (2, [0.8, 0.2], [1, 1]),
    (2, [0.98, 0.01, 0.01], [1, 1, 0]),
    (2, [0.1, 0.8, 0.1], [1, 1, 0]),
    (3, [0.98, 0.01, 0.01], [1, 1, 1]),
    (3, [0.01, 0.01, 0.98], [1, 1, 1]),
    (10, [0.98, 0.01, 0.01], [8, 1, 1]),
    (10, [0.01, 0, 0.99], [1, 0, 9]),
    (10, [1, 0], [10, 0]),
    (7, [0.5, 0.5], [4, 3]),
    (10, [0.1] * 10, [1] * 10),
    (29, [0.29, 0.71], [8, 21]),
    (100, [0.29, 0.71], [29, 71]),
])
def test_the_sizes_of_the_parts(tmp_path: Path, count: int, fractions: list[float], expected: list[int]) -> None:
    dataset = arrays(tmp_path, ["a"] * count + ["b"] * 50)
    parts = stratified_split(dataset, fractions, seed=0)
    assert [per_class(dataset, part)[0] for part in parts] == expected


@pytest.mark.parametrize("fractions", [[0.5, 0.4], [0.8, 0.3], [1.5, -0.5], [], [float("nan"), 1], [float("inf")]])
def test_fractions_that_do_not_sum_to_one_are_refused(tmp_path: Path, fractions: list[float]) -> None:
    with pytest.raises(DataError, match="must sum to 1"):
        stratified_split(arrays(tmp_path, [0, 1]), fractions, seed=0)


def test_without_labels_there_are_no_strata(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, None, range(20))
    parts = stratified_split(dataset, [0.75, 0.25], seed=0)
    assert [len(part) for part in parts] == [15, 5]
    assert [len(part) for part in folds(dataset, 3, seed=0)] == [7, 7, 6]
    assert len(stratified_sample(dataset, 6, seed=0)) == 6


def test_folds_are_even_and_stratified(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, [number % 7 for number in range(7 * 11)])
    parts = folds(dataset, 5, seed=4)
    assert sorted(chain.from_iterable(parts)) == list(range(77))
    assert all(part == sorted(part) for part in parts)
    assert {len(part) for part in parts} == {15, 16}
    for label in range(7):
        assert {per_class(dataset, part)[label] for part in parts} == {2, 3}


@pytest.mark.parametrize("count", [-1, 0, 1, 5])
def test_folds_that_are_impossible(tmp_path: Path, count: int) -> None:
    dataset = arrays(tmp_path, [0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 3, 4])
    with pytest.raises(DataError, match=f"4 distinct images, which cannot make {count} folds"):
        folds(dataset, count, seed=0)


def test_a_sample_is_even_over_the_classes(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, ["a"] * 80 + ["b"] * 15 + ["c"] * 5)
    sample = stratified_sample(dataset, 35, seed=0)
    assert sample == sorted(set(sample))
    assert per_class(dataset, sample) == {0: 15, 1: 15, 2: 5}
    assert sorted(per_class(dataset, stratified_sample(dataset, 10, seed=0)).values()) == [3, 3, 4]
    assert stratified_sample(dataset, 1000, seed=0) == list(range(100))


def test_a_sample_smaller_than_the_classes_varies_with_the_seed(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, list(range(30)))
    samples = {tuple(stratified_sample(dataset, 3, seed)) for seed in range(5)}
    assert len(samples) > 1
    assert {len(sample) for sample in samples} == {3}


def test_a_sample_has_no_duplicates(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, [0, 0, 0, 1, 1, 1], [5, 5, 6, 7, 7, 6])
    sample = stratified_sample(dataset, 6, seed=0)
    assert len(sample) == 3
    assert contents(dataset, sample) == contents(dataset, list(range(6)))


def test_a_sample_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample of 0 images"):
        stratified_sample(arrays(tmp_path, [0, 1]), 0, seed=0)


def test_duplicates_across_classes_are_named(tmp_path: Path, write_image: WriteImage) -> None:
    for name, number in [("a/1.png", 1), ("a/2.png", 1), ("a/3.png", 3), ("b/4.png", 3), ("b/5.png", 5),
                         ("c/6.png", 3), ("c/7.png", 7)]:
        write_image(tmp_path / name, number)
    dataset = open_dataset(tmp_path)
    assert duplicates_across_classes(dataset) == [("a/3.png", "b/4.png", "c/6.png")]
    assert duplicates_across_classes(dataset.subset([0, 1, 4, 6])) == []


def test_duplicates_without_labels_are_in_no_two_classes(tmp_path: Path) -> None:
    assert duplicates_across_classes(arrays(tmp_path, None, [1, 1, 2])) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("path,label\ngone.png,a\n")
    with pytest.raises(ImageError, match=r"gone\.png"):
        stratified_split(open_dataset(tmp_path / "data.csv"), [1], seed=0)


def test_a_subset_is_split_by_its_own_indices(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, [number % 2 for number in range(20)]).subset(range(10, 20))
    parts = stratified_split(dataset, [0.8, 0.2], seed=0)
    assert sorted(chain.from_iterable(parts)) == list(range(10))


def test_positions_are_spread_over_all() -> None:
    assert evenly(100, 3) == [0, 50, 99]
    assert evenly(3, 10) == [0, 1, 2]
    assert evenly(1, 1) == [0]
    assert evenly(0, 5) == []
