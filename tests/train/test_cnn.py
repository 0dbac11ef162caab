"""The small network that edgekit trains from scratch."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.core import child

SIZES = [[8, 8, 1, 10], [8, 8, 3, 2], [28, 28, 1, 10], [48, 64, 3, 2], [96, 96, 3, 5], [224, 224, 3, 100]]


@pytest.fixture(scope="module")
def described() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = child.call("tests.train.in_child:describe_cnns", sizes=SIZES)
    return found


def test_inputs_and_outputs(described: list[dict[str, Any]]) -> None:
    for (height, width, channels, classes), found in zip(SIZES, described, strict=True):
        assert found["input"] == [None, height, width, channels]
        assert found["classes"] == classes
        assert found["sums"] == pytest.approx([1, 1], abs=1e-5)
        assert found["layers"][:2] == ["image", "normalise"]


def test_maps_are_halved_to_a_size_that_can_still_be_averaged(described: list[dict[str, Any]]) -> None:
    assert [found["map"] for found in described] == [[4, 4], [4, 4], [7, 7], [6, 8], [6, 6], [7, 7]]


def test_sizes(described: list[dict[str, Any]]) -> None:
    without_classes = [found["parameters"] - 257 * size[3] for size, found in zip(SIZES, described, strict=True)]
    assert min(without_classes) > 30_000
    assert max(without_classes) < 123_000
