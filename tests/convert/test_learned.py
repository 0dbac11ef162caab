"""Learned ranges find their tensors in both formats, whatever the converters made of the layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.convert.float_core import TRACES, float_core, probe_pixels
from edgekit.convert.learned import PROBED, by_tensor
from edgekit.convert.run import convert
from edgekit.core import embed, learned_ranges
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import InputSpec, ModelSpec, OutputSpec, Preprocess
from tests.conftest import Needs
from tests.train.qat_in_child import LABELS, SIDE

pytestmark = pytest.mark.slow

ACTIVATIONS = {"blocks": "softmax", "nested": "logits", "branches": "sigmoid"}


def specced(folded: dict[str, Any], name: str, target: Path) -> Path:
    """A folded network with ranges and a spec."""
    labels = tuple("abcd"[: 2 if name == "branches" else LABELS])
    image, output = InputSpec("image", SIDE, SIDE, 3, "float32"), OutputSpec("scores", ACTIVATIONS[name])
    spec = ModelSpec(image, Preprocess("nearest"), output, labels)
    embed.write_spec(folded["folder"] / f"{name}.keras", spec, target)
    return target


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["blocks", "nested", "branches"])
def test_every_activation_has_a_range(
    needs: Needs, folded: dict[str, Any], tmp_path: Path, name: str, target: str
) -> None:
    if target == "onnx":
        needs.module("tf2onnx", "pip install 'edgekit[onnx]'")
    source = specced(folded, name, tmp_path / f"{name}.keras")
    spec = modelfile.read_spec(source)
    assert spec is not None
    pixels = probe_pixels(spec, None)
    core = float_core(source, spec, target, pixels, tmp_path, False, learned_ranges.read(source))
    found = by_tensor(core, spec, pixels[:PROBED], tmp_path / TRACES)
    assert found.missing == ()
    assert len(found.ranges) >= 6
    learned = set((learned_ranges.read(source) or {}).values())
    assert learned & set(found.ranges.values())


@pytest.mark.parametrize("name", ["blocks", "nested", "branches"])
def test_the_int8_file_answers_like_its_float_one(folded: dict[str, Any], tmp_path: Path, name: str) -> None:
    source = specced(folded, name, tmp_path / f"{name}.keras")
    images = np.random.default_rng(1).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
    plain, int8 = (
        Classifier(convert(source, tmp_path / f"{scheme}.tflite", quantize=scheme).path).scores(images)
        for scheme in ("none", "int8")
    )
    assert np.abs(plain - int8).max() < 0.1
