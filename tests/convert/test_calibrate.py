"""Whether images can calibrate a model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.convert.calibrate import CalibrationCheck, check_calibration
from edgekit.convert.run import convert
from edgekit.core.errors import ConversionError, DataError, ImportRefused
from tests import models
from tests.keras_models import images
from tests.quantize.evidence.test_values import scene

if TYPE_CHECKING:
    from tests.conftest import Needs

PIXELS, TRUTH = images(200, 7, 8, 8)
SPEC = models.spec()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.with_spec(models.tflite(tmp_path / "model.tflite"))


def arrays(folder: Path, pixels: NDArray[np.uint8], truth: NDArray[np.integer] | None = None) -> Path:
    target = folder / "data.npz"
    if truth is None:
        np.savez(target, x=pixels)
    else:
        np.savez(target, x=pixels, y=np.array(models.LABELS)[truth])
    return target


def kinds(found: CalibrationCheck) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in found.findings]


def test_good_images(model: Path, tmp_path: Path) -> None:
    found = check_calibration(model, arrays(tmp_path, PIXELS, TRUTH), samples=150)
    assert (found.outcome, found.findings, found.images, found.available) == ("fit", (), 150, 200)
    assert found.accuracy == 1.0
    assert found.settling.enough is not None
    assert found.verdict == f"150 of 200 images: fit to calibrate; {found.settling.enough} would have been enough"
    assert check_calibration(model, tmp_path / "data.npz", samples=150) == found


def test_onnx(needs: Needs, tmp_path: Path) -> None:
    needs.module("onnx", "pip install 'edgekit[onnx]'")
    source = models.with_spec(models.onnx(tmp_path / "model.onnx"))
    assert check_calibration(source, arrays(tmp_path, PIXELS, TRUTH)).outcome == "fit"


def test_random_parts_of_a_good_set_are_never_refused(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        part = rng.permutation(200)[:30]
        found = check_calibration(model, arrays(tmp_path, PIXELS[part], TRUTH[part]))
        assert found.outcome == "fit", found.findings


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros_like(PIXELS), "single colours"),
        ((PIXELS / 255).round().astype(np.uint8), "range"),
        ((PIXELS / 64 - 2).astype(np.int8).astype(np.uint8), "range"),
        (PIXELS[:1].repeat(100, 0), "one image"),
    ],
    ids=["zeros", "scaled", "normalised", "one image"],
)
def test_wrong_images(model: Path, tmp_path: Path, pixels: NDArray[np.uint8], kind: str) -> None:
    data = arrays(tmp_path, pixels)
    found = check_calibration(model, data)
    assert (found.outcome, kinds(found)[0]) == ("unfit", ("refusal", kind))
    assert found.verdict.endswith(f"not fit to calibrate ({kind})")
    assert all(finding.effect for finding in found.findings if finding.level == "refusal")
    with pytest.raises(DataError, match="cannot calibrate a model") as refused:
        convert(model, tmp_path / "made.tflite", quantize="int8", calibrate=data)
    assert refused.value.hint == found.findings[0].hint


def test_one_photo_under_many_names(model: Path, tmp_path: Path) -> None:
    image = Image.fromarray(scene(5))
    for quality in range(40, 96, 2):
        image.save(tmp_path / f"{quality}.jpg", quality=quality)
    found = check_calibration(model, tmp_path)
    assert found.images == 28
    assert kinds(found)[0] == ("warning", "copies")  # pixels differ as a camera's do that never moves
    assert found.findings[0].what.startswith("27 of 28 images are practically the same as others")
    assert found.outcome == "doubtful"


def test_noise_is_flagged(model: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, PIXELS.shape).astype(np.uint8)
    found = check_calibration(model, arrays(tmp_path, noise, TRUTH))
    assert found.outcome == "doubtful"
    assert kinds(found)[0] == ("warning", "noise")
    assert found.verdict.startswith("200 images: doubtful (noise")


def test_a_model_that_wants_0_to_1_and_is_fed_0_to_255(tmp_path: Path) -> None:
    """Its scores keep their order, so nothing but their size tells it."""
    weights = np.asarray(np.eye(3) * 12, np.float32)
    wrong = models.with_spec(models.tflite(tmp_path / "wrong.tflite", weights=weights))
    data = arrays(tmp_path, PIXELS, TRUTH)
    found = check_calibration(wrong, data)
    [feeding] = found.findings
    assert (feeding.level, feeding.kind) == ("warning", "feeding")
    assert "with pixels scaled to 0..1 (mean 0, std 255)" in feeding.what
    [warning] = convert(wrong, tmp_path / "made.tflite", quantize="int8", calibrate=data).warnings
    assert warning == feeding.text
    scaled = dataclasses.replace(SPEC.preprocess, mean=(0.0,) * 3, std=(255.0,) * 3)
    right = models.with_spec(models.tflite(tmp_path / "right.tflite", weights=weights), models.spec(preprocess=scaled))
    assert check_calibration(right, data).findings == ()


def test_an_outlier_is_named_with_its_effect(model: Path, tmp_path: Path) -> None:
    pixels = (PIXELS // 5 + 100).astype(np.uint8)
    pixels[13] = np.where(np.arange(8)[:, None] < 4, 255, 254).astype(np.uint8)[..., None]
    data = arrays(tmp_path, pixels)
    found = check_calibration(model, data)
    [outlier] = [finding for finding in found.findings if finding.kind == "outlier"]
    assert outlier.images == ("data.npz[13]",)
    assert {layer.tensor for layer in outlier.layers} <= {"means", "logits"}
    assert "times as coarse" in outlier.effect
    warnings = convert(model, tmp_path / "made.tflite", quantize="int8", calibrate=data).warnings
    assert any(warning == outlier.text for warning in warnings)


def test_classes_and_copies(model: Path, tmp_path: Path) -> None:
    two = np.flatnonzero(TRUTH != 1)[:60]
    again = np.concatenate([two, two[:20]])
    data = arrays(tmp_path, PIXELS[again], TRUTH[again])
    found = check_calibration(model, data)
    assert kinds(found) == [("warning", "classes"), ("note", "copies")]
    assert found.findings[0].what == "1 of 3 classes have no image: green."
    assert found.findings[0].effect.startswith("What a class can do: ")
    assert found.verdict.startswith("60 of 80 images: doubtful (classes); ")


def test_few_images(model: Path, tmp_path: Path) -> None:
    found = check_calibration(model, arrays(tmp_path, PIXELS[:6]))
    assert (found.outcome, kinds(found)) == ("doubtful", [("warning", "settling")])
    assert found.verdict == "6 images: doubtful; more images would make the ranges surer"


def test_what_convert_finds_is_in_its_result(model: Path, tmp_path: Path) -> None:
    data = arrays(tmp_path, np.concatenate([PIXELS, PIXELS[:5]]), np.concatenate([TRUTH, TRUTH[:5]]))
    made = convert(model, tmp_path / "made.tflite", quantize="int8", calibrate=data)
    assert [finding.kind for finding in made.findings] == ["copies"]
    assert made.warnings == ()


def test_models_that_cannot_be_calibrated(model: Path, int8_tflite: Path, tmp_path: Path) -> None:
    data = arrays(tmp_path, PIXELS, TRUTH)
    with pytest.raises(ImportRefused, match="quantized already"):
        check_calibration(int8_tflite, data)
    with pytest.raises(DataError, match="There is no data set at"):
        check_calibration(model, tmp_path / "nothing")
    broken = models.with_spec(models.tflite(tmp_path / "nan.tflite", weights=np.full((3, 3), np.nan, np.float32)))
    with pytest.raises(ConversionError, match="answers with NaN"):
        check_calibration(broken, data)


def test_it_is_json(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgekit.cli.common import print_json

    print_json(check_calibration(model, arrays(tmp_path, PIXELS[:30], TRUTH[:30])))
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] == "fit"
    assert document["settling"]["counts"][-1] == 30
