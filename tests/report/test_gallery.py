"""Thumbnails are small, are made by us, and carry nothing of the file that they come from."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.data.dataset import open_dataset
from edgekit.report.gallery import LONGEST_SIDE, gallery, thumbnail
from tests.report.parsed import Page

NOISE = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2], validate=True)))


def test_photos_are_made_small() -> None:
    uri = thumbnail(NOISE)
    assert uri.startswith("data:image/jpeg;base64,")
    assert opened(uri).size == (LONGEST_SIDE, LONGEST_SIDE * 3 // 4)
    assert len(uri) < 30_000  # noise is the worst case


def test_small_images_keep_their_pixels() -> None:
    uri = thumbnail(NOISE[:8, :6])
    assert uri.startswith("data:image/png;base64,")
    assert (np.asarray(opened(uri)) == NOISE[:8, :6]).all()


def test_extreme_shapes() -> None:
    assert opened(thumbnail(NOISE[:1])).size == (LONGEST_SIDE, 1)


def test_a_gallery(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"  # it is to be turned; a description
    Image.fromarray(NOISE[:600, :300]).save(tmp_path / "a" / "<i>.jpg", exif=exif)
    Image.fromarray(NOISE[:8, :8]).save(tmp_path / "a" / "b.png")
    (tmp_path / "a" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = open_dataset(tmp_path)
    found = Page(gallery(data, [(0, ["it is <b>"]), (1, []), (2, [])], "exif"))
    photo, small = found.all("img")
    assert (photo.attributes["alt"], found.all("figcaption")[0].text) == ("Image a/<i>.jpg", "a/<i>.jpgit is <b>")
    image = opened(photo.attributes["src"])
    assert image.size == (128, 64)
    assert not image.getexif()
    assert small.attributes["class"] == "pixels"
    assert found.all("p", "gone")[0].text == "The image can no longer be read."
