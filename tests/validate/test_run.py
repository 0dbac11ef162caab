"""`edgekit validate`: any mix of files, what differs between them, the gate, and the stamp."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import embed
from edgekit.core.errors import ConversionError, DataError, ModelFileError, SpecError
from edgekit.core.files import sha256
from edgekit.data.dataset import open_dataset
from edgekit.runtime import modelfile
from edgekit.runtime.spec import Crop, ModelSpec, Preprocess
from edgekit.validate.gate import Gate
from edgekit.validate.run import Validation, validate
from tests import models
from tests.keras_models import images
from tests.session_models import MANY, PHOTOS

# Answers wrongly where blue is not far above red.
BLUNT = models.WEIGHTS * np.array([[1.0], [1.0], [0.4]], np.float32)


def made(path: Path, said: ModelSpec | None = None, **arguments: Any) -> Path:
    """A hand-made model with its spec, by its ending."""
    return models.with_spec(getattr(models, path.suffix[1:])(path, **arguments), said)


def state(paths: Sequence[Path]) -> list[tuple[str, int]]:
    return [(sha256(path), path.stat().st_mtime_ns) for path in paths]


def spec_of(path: Path) -> ModelSpec:
    found = modelfile.read_spec(path)
    assert found is not None
    return found


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return made(tmp_path / "reference.tflite")


# --- any mix


@pytest.mark.slow
def test_keras_tflite_and_onnx(
    with_spec: Callable[[str], Path], float_tflite: Path, float_onnx: Path, int8_tflite: Path, many: Path
) -> None:
    paths = [with_spec("rescaled"), float_tflite, float_onnx, int8_tflite]
    before = state(paths)
    progress: list[tuple[int, int]] = []
    found = validate(paths[0], paths[1:], many, on_progress=lambda done, total: progress.append((done, total)))
    assert state(paths) == before
    assert progress[-1] == (MANY, MANY)
    assert (found.images, found.labelled, found.labels) == (MANY, True, ("red", "green", "blue"))
    assert [candidate.judgement.outcome for candidate in found.candidates] == ["pass"] * 3
    assert [candidate.scheme for candidate in found.candidates] == ["none", "none", "int8"]
    assert [candidate.notes for candidate in found.candidates] == [()] * 3
    assert [candidate.parity.reference_top1 for candidate in found.candidates] == [1.0] * 3
    assert found.candidates[0].parity.max_difference < 1e-5
    assert 1e-4 < found.candidates[2].parity.max_difference < 0.1
    assert (found.reference_latency, found.reference_size_bytes) == (None, paths[0].stat().st_size)
    assert found.candidates[0].size_bytes == float_tflite.stat().st_size
    assert found.candidates[0].latency is not None
    assert found.candidates[0].latency.p50 > 0
    assert not found.failed(strict=True)


# --- differences


def test_another_label_order_is_said_and_undone(reference: Path, many: Path, tmp_path: Path) -> None:
    order = [2, 0, 1]
    labels = tuple(models.LABELS[index] for index in order)
    shuffled = made(tmp_path / "shuffled.onnx", models.spec(labels=labels), weights=models.WEIGHTS[order])
    [candidate] = validate(reference, [shuffled], many).candidates
    assert candidate.parity.agreement == candidate.parity.candidate_top1 == 1.0
    assert candidate.parity.max_difference < 1e-6
    assert candidate.notes == (
        "the label order differs (output 0 is 'red' in the reference, 'blue' here); scores were compared by name",
    )


def test_a_wrong_label_order_fails(reference: Path, many: Path, tmp_path: Path) -> None:
    wrong = made(tmp_path / "wrong.tflite", models.spec(labels=("green", "blue", "red")))
    found = validate(reference, [wrong], many)
    assert found.candidates[0].parity.candidate_top1 == 0
    assert found.failed(strict=False)


def test_labels_that_occur_twice(tmp_path: Path) -> None:
    weights = np.concatenate([models.WEIGHTS, models.WEIGHTS[:1] / 2])
    said = models.spec(labels=("crane", "green", "blue", "crane"))
    first = made(tmp_path / "first.tflite", said, weights=weights)
    moved = made(
        tmp_path / "moved.tflite",
        models.spec(labels=("green", "crane", "crane", "blue")),
        weights=weights[[1, 0, 3, 2]],
    )
    np.savez(tmp_path / "data.npz", x=images(30)[0])
    [candidate] = validate(first, [moved], tmp_path / "data.npz").candidates
    assert candidate.parity.max_difference < 1e-6


def test_other_preprocessing_is_said(reference: Path, many: Path, tmp_path: Path) -> None:
    other = Preprocess("nearest", Crop("center", 0.875), orientation="ignore", channel_order="BGR")
    mirrored = made(tmp_path / "other.tflite", models.spec(preprocess=other), weights=models.WEIGHTS[:, ::-1].copy())
    [candidate] = validate(reference, [mirrored], many).candidates
    assert candidate.notes == (
        "the preprocessing differs: resize is nearest instead of bilinear-aa",
        "the preprocessing differs: crop is center 0.875 (floor) instead of none",
        "the preprocessing differs: orientation is ignore instead of exif",
        "the preprocessing differs: channel order is BGR instead of RGB",
    )
    assert candidate.parity.agreement > 0.95


def test_another_size_is_said(
    with_spec: Callable[[str], Path], float_tflite: Path, reference: Path, many: Path
) -> None:
    [candidate] = validate(reference, [float_tflite], many).candidates
    assert "the input is 12×12 instead of 8×8" in candidate.notes


def test_other_labels_cannot_be_compared(reference: Path, many: Path, tmp_path: Path) -> None:
    pets = made(tmp_path / "pets.tflite", models.spec(labels=("red", "green", "dog")))
    with pytest.raises(SpecError, match=r"pets\.tflite does not have the labels of reference\.tflite \(blue\)"):
        validate(reference, [pets], many)
    two = made(tmp_path / "two.tflite", models.spec(labels=("red", "green")), weights=models.WEIGHTS[:2])
    with pytest.raises(SpecError, match=r"does not have the labels of reference\.tflite"):
        validate(reference, [two], many)


# --- data


def test_data_of_other_classes(reference: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "pets.npz", x=images(9)[0], y=np.array(["cat", "dog", "red"] * 3))
    with pytest.raises(DataError, match=r"pets\.npz has the class 'cat', which reference\.tflite does not know"):
        validate(reference, [reference], tmp_path / "pets.npz")


def test_data_of_some_of_the_classes(reference: Path, tmp_path: Path) -> None:
    pixels, colours = images(40)
    chosen = colours != 1
    np.savez(tmp_path / "some.npz", x=pixels[chosen], y=np.array(["Red ", "GREEN", "blue"])[colours[chosen]])
    found = validate(reference, [reference], tmp_path / "some.npz")
    assert found.candidates[0].parity.candidate_top1 == 1.0
    assert [recall.label for recall in found.candidates[0].parity.recalls] == [0, 2]


def test_without_labels_agreement_decides(reference: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "unlabelled.npz", x=images(400)[0])
    blunt = made(tmp_path / "blunt.tflite", weights=BLUNT)
    found = validate(reference, [reference, blunt], tmp_path / "unlabelled.npz")
    assert not found.labelled
    assert [candidate.judgement.outcome for candidate in found.candidates] == ["pass", "fail"]
    assert "at least the limit of 98" in found.candidates[0].judgement.reasons[0]
    assert found.candidates[1].parity.agreement < 0.97
    assert found.candidates[0].parity.reference_top1 is None


def test_unreadable_images(reference: Path, photos: Path, tmp_path: Path) -> None:
    for path in sorted(photos.rglob("*.png")):
        target = tmp_path / "photos" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes()[: 100 if path.stem in ("004", "029") else None])
    with pytest.raises(DataError, match=r"1 image cannot be read"):
        validate(reference, [reference], tmp_path / "photos")
    found = validate(reference, [reference], tmp_path / "photos", max_bad=2)
    assert {Path(name).stem for name, _ in found.skipped} == {"004", "029"}
    assert found.images == PHOTOS - 2


def test_a_data_set_that_is_open_already(reference: Path, many: Path) -> None:
    part = open_dataset(many).subset(range(50))
    assert validate(reference, [reference], part).images == 50


def test_answers_that_are_not_numbers(reference: Path, many: Path, tmp_path: Path) -> None:
    broken = made(tmp_path / "broken.tflite", weights=np.full((3, 3), np.nan, np.float32))
    with pytest.raises(ConversionError, match=r"broken\.tflite: .*not finite numbers for 480 of 480 images"):
        validate(reference, [broken], many)
    with pytest.raises(ModelFileError, match="The reference's scores are not finite"):
        validate(broken, [reference], many)


# --- the gate


def outcomes(found: Validation) -> list[str]:
    return [candidate.judgement.outcome for candidate in found.candidates]


def test_the_gate(reference: Path, many: Path, photos: Path, tmp_path: Path) -> None:
    blunt = made(tmp_path / "blunt.tflite", weights=BLUNT)
    found = validate(reference, [reference, blunt], many)
    assert outcomes(found) == ["pass", "fail"]
    assert found.candidates[1].parity.lost is not None
    assert found.candidates[1].parity.lost > 10
    assert found.failed(strict=False)
    assert outcomes(validate(reference, [blunt], many, gate=Gate(max_drop=60))) == ["pass"]
    few = validate(reference, [reference], photos)
    assert outcomes(few) == ["inconclusive"]
    assert few.candidates[0].judgement.images_needed == 381
    assert not few.failed(strict=False)
    assert few.failed(strict=True)


def test_size_and_latency(reference: Path, many: Path, with_spec: Callable[[str], Path]) -> None:
    size = reference.stat().st_size
    assert outcomes(validate(reference, [reference], many, gate=Gate(max_size_bytes=size))) == ["pass"]
    assert outcomes(validate(reference, [reference], many, gate=Gate(max_size_bytes=size - 1))) == ["fail"]
    assert outcomes(validate(reference, [reference], many, gate=Gate(max_latency_ms=1e-6))) == ["fail"]
    assert outcomes(validate(reference, [reference], many, gate=Gate(max_latency_ms=60_000))) == ["pass"]


@pytest.mark.slow
def test_keras_has_no_latency_that_a_limit_could_be_compared_with(
    with_spec: Callable[[str], Path], float_tflite: Path, many: Path
) -> None:
    found = validate(float_tflite, [with_spec("rescaled")], many, gate=Gate(max_latency_ms=60_000))
    assert outcomes(found) == ["inconclusive"]
    assert found.candidates[0].latency is None


# --- the stamp


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_the_size_is_that_of_the_file_with_its_stamp(reference: Path, many: Path, tmp_path: Path, kind: str) -> None:
    candidate, again = made(tmp_path / f"candidate.{kind}"), made(tmp_path / f"again.{kind}")
    bare = candidate.stat().st_size
    [found] = validate(reference, [candidate], many, stamp=True).candidates
    assert found.size_bytes == candidate.stat().st_size > bare + 1000
    assert outcomes(validate(reference, [again], many, stamp=True, gate=Gate(max_size_bytes=bare + 1000))) == ["fail"]
    assert spec_of(again).verdict_state(modelfile.digest(again)) == "fail"
    allowed = Gate(max_size_bytes=candidate.stat().st_size + 100)  # a limit is a figure in the verdict
    assert outcomes(validate(reference, [again], many, stamp=True, gate=allowed)) == ["pass"]


def test_without_a_stamp_no_file_is_touched(reference: Path, many: Path, tmp_path: Path) -> None:
    blunt = made(tmp_path / "blunt.onnx", weights=BLUNT)
    before, names = state([reference, blunt, many]), sorted(os.listdir(tmp_path))
    validate(reference, [blunt], many)
    assert state([reference, blunt, many]) == before
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_the_stamp(reference: Path, many: Path, tmp_path: Path, kind: str) -> None:
    candidate = made(tmp_path / f"candidate.{kind}")
    digest, before = modelfile.digest(candidate), state([reference, many])
    gate = Gate(max_drop=2.0, max_size_bytes=10**6)
    found = validate(reference, [candidate], many, gate=gate, stamp=True)
    assert state([reference, many]) == before

    verdict = spec_of(candidate).verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.images) == ("pass", MANY)
    assert verdict.model_sha256 == modelfile.digest(candidate) == digest
    assert verdict.reference_sha256 == modelfile.digest(reference)
    assert verdict.data_sha256 == open_dataset(many).digest()
    assert verdict.gate == {"max_drop": 2.0, "max_size_bytes": 1e6}
    assert verdict.figures["top1"] == verdict.figures["agreement"] == 1.0
    assert verdict.figures["drop"] == 0.0
    assert verdict.figures["drop_high"] == pytest.approx(0.79, abs=0.01)
    assert found.candidates[0].parity.max_difference == verdict.figures["max_difference"]
    golden = spec_of(candidate).golden
    assert (len(golden), sum(answer.image is not None for answer in golden)) == (7, 4)

    first = candidate.read_bytes()
    validate(reference, [candidate], many, gate=gate, stamp=True)
    assert candidate.read_bytes() == first


def test_a_failed_verdict_is_stamped_too(reference: Path, many: Path, tmp_path: Path) -> None:
    blunt = made(tmp_path / "blunt.tflite", weights=BLUNT)
    validate(reference, [blunt], many, stamp=True)
    verdict = spec_of(blunt).verdict
    assert verdict is not None
    assert verdict.outcome == "fail"
    assert verdict.figures["drop_low"] > 1


def test_a_verdict_does_not_outlive_its_model(reference: Path, many: Path, tmp_path: Path) -> None:
    candidate, other = made(tmp_path / "candidate.tflite"), made(tmp_path / "other.tflite", weights=BLUNT)
    validate(reference, [candidate], many, stamp=True)
    embed.write_spec(other, spec_of(candidate), other)
    verdict = spec_of(other).verdict
    assert verdict is not None
    assert verdict.model_sha256 != modelfile.digest(other)


def test_without_labels_the_stamp_says_agreement_only(reference: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "unlabelled.npz", x=images(300)[0])
    candidate = made(tmp_path / "candidate.tflite")
    validate(reference, [candidate], tmp_path / "unlabelled.npz", stamp=True)
    verdict = spec_of(candidate).verdict
    assert verdict is not None
    assert verdict.outcome == "pass"
    assert verdict.figures.keys() == {"agreement", "max_difference"}


def test_one_bad_candidate_and_none_is_stamped(reference: Path, many: Path, tmp_path: Path) -> None:
    candidate, other = made(tmp_path / "candidate.tflite"), models.spec(labels=("a", "b", "c"))
    before = candidate.read_bytes()
    with pytest.raises(SpecError):
        validate(reference, [candidate, made(tmp_path / "other.tflite", other)], many, stamp=True)
    assert candidate.read_bytes() == before


def test_a_reference_that_always_says_the_same_is_told(tmp_path: Path) -> None:
    dull = models.with_spec(models.tflite(tmp_path / "dull.tflite", weights=np.zeros((3, 3), np.float32)))
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8))
    found = validate(dull, [dull], tmp_path / "data.npz")
    assert found.candidates[0].notes == ("the reference calls every image 'red': agreeing with it proves little",)
