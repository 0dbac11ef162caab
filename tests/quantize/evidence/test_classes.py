"""Whether the images cover the classes."""

from __future__ import annotations

import numpy as np

from edgekit.quantize.evidence import classes

TEN = [f"class {number}" for number in range(10)]


def test_classes_that_chance_leaves_out_are_not_missing() -> None:
    rng = np.random.default_rng(0)
    flagged = sum(bool(list(classes.examine(rng.integers(0, 10, 30), TEN))) for _ in range(300))
    assert flagged <= 6
    assert list(classes.examine(np.arange(100), [str(number) for number in range(1000)])) == []


def test_missing_classes_are_named() -> None:
    [found] = classes.examine(np.arange(60) % 4, TEN)
    assert found.what == "6 of 10 classes have no image: class 4, class 5, class 6, class 7, class 8 and class 9."
    [found] = classes.examine(np.zeros(40, int), ["\x1b[31mcat", "dog"])
    assert found.what == "1 of 2 classes have no image: dog."


def test_uneven_classes() -> None:
    truth = np.array([0] * 95 + [1] * 5)
    [found] = classes.examine(truth, ["cat", "dog"])
    assert found.what == "The classes are uneven: 95 images of cat, 5 of dog."
    assert list(classes.examine(np.array([0] * 70 + [1] * 30), ["cat", "dog"])) == []


def test_many_images() -> None:
    [found] = classes.examine(np.zeros(5000, int), ["cat", "dog"])
    assert found.what == "1 of 2 classes have no image: dog."
    assert list(classes.examine(np.arange(20_000) % 10, TEN)) == []
