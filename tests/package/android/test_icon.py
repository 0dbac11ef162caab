from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.core.errors import ImageError
from edgekit.package.android import icon
from edgekit.package.android.icon import CANVAS, SAFE


def made(path: Path) -> Image.Image:
    image = Image.open(io.BytesIO(icon.foreground(path)))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (CANVAS, CANVAS))
    return image


def box(width: int, height: int) -> tuple[int, int, int, int]:
    left, top = (CANVAS - width) // 2, (CANVAS - height) // 2
    return left, top, left + width, top + height


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_the_picture_fills_the_safe_zone(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (600, 300), (200, 30, 60)).save(path)
    image = made(path)
    assert image.getbbox() == box(SAFE, SAFE // 2)
    assert np.allclose(np.asarray(image)[CANVAS // 2, CANVAS // 2], (200, 30, 60, 255), atol=4)


def test_a_small_picture_grows(tmp_path: Path) -> None:
    Image.new("L", (2, 1), 77).save(tmp_path / "a.png")
    assert made(tmp_path / "a.png").getbbox() == box(SAFE, SAFE // 2)


def test_what_is_transparent_stays_so_and_does_not_bleed(tmp_path: Path) -> None:
    picture = np.zeros((100, 100, 4), np.uint8)
    picture[..., 0] = 255  # red, and hidden
    picture[20:80, 20:80] = (0, 0, 255, 255)
    Image.fromarray(picture).save(tmp_path / "a.png")
    image = np.asarray(made(tmp_path / "a.png"))
    visible = image[image[..., 3] > 8]
    assert visible[:, 0].max() < 8
    assert visible[:, 2].min() > 200
    assert image[..., 3].min() == 0


def test_a_photo_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert made(tmp_path / "a.jpg").getbbox() == box(SAFE // 2, SAFE)


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    Image.new("P", (64, 64), 3).save(tmp_path / "a.png")
    assert icon.foreground(tmp_path / "a.png") == icon.foreground(tmp_path / "a.png")


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ImageError, match="cannot be read"):
        icon.foreground(path)
    path.write_bytes(b"<svg/>")
    with pytest.raises(ImageError, match="not an image in one of the formats"):
        icon.foreground(path)
    Image.new("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match="is damaged"):
        icon.foreground(path)
    Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(ImageError, match="9000×9000 pixels; at most"):
        icon.foreground(path)
