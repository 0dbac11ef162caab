"""Images that occur more than once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.data.dataset import open_dataset
from edgekit.quantize.evidence import copies
from tests.keras_models import images
from tests.quantize.evidence.test_values import scene

NAMES = [f"{number}.png" for number in range(30)]


def test_different_images_are_different() -> None:
    assert copies.alike(images(200)[0]) == [[position] for position in range(200)]
    assert len(copies.alike(np.stack([scene(seed) for seed in range(100)]))) == 100


def test_a_photo_that_is_encoded_again_is_the_same() -> None:
    photo, stored = scene(1), []
    for quality in (95, 75, 40):
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, "JPEG", quality=quality)
        stored.append(np.asarray(Image.open(stream)))
    assert copies.alike(np.stack([photo, scene(2), *stored, scene(3)])) == [[0, 2, 3, 4], [1], [5]]


def test_findings(tmp_path: Path) -> None:
    different = images(30)[0]
    np.savez(tmp_path / "data.npz", x=np.concatenate([different, different[:6]]))
    data = open_dataset(tmp_path / "data.npz")
    [note] = copies.examine(different, NAMES, data, "data")
    assert (note.level, note.what) == ("note", "6 of 36 images are copies of others, and left out.")

    pixels = np.concatenate([different[:25], different[:5]])
    pixels[25:, ::4, ::4] ^= 1
    _, warning = copies.examine(pixels, NAMES, data, "data")
    assert (warning.level, warning.positions) == ("warning", (25, 26, 27, 28, 29))
    assert warning.what == (
        "5 of 30 images are practically the same as others: 25.png as 0.png, 26.png as 1.png and 3 more."
    )
    same = different[:1].repeat(30, 0)
    same[::2, ::4, ::4] ^= 1
    [refusal] = copies.examine(same, NAMES, data, "data")
    assert (refusal.level, refusal.kind) == ("refusal", "one image")


def test_a_camera_that_never_moves_is_not_one_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(scene(1) + rng.normal(0, 4, (30, *scene(1).shape)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=noisy)
    [finding] = copies.examine(noisy, NAMES, open_dataset(tmp_path / "data.npz"), "data")
    assert finding.level == "warning"
    assert finding.what.startswith("29 of 30 images are practically the same as others")
