"""Images on a report page: decoded by us, made small, encoded anew, and not many."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.core.errors import ImageError
from edgekit.data.dataset import Dataset
from edgekit.report.page import Html, element, shown

LONGEST_SIDE = 128  # pixels of a thumbnail
MOST_IMAGES = 24
PHOTO_FROM = 48  # smaller images are shown pixel by pixel
JPEG_QUALITY = 80


def gallery(data: Dataset, entries: Iterable[tuple[int, Sequence[str]]], orientation: str) -> Html:
    """Images of a data set, each an index with the lines that are said of it."""
    items = []
    for index, lines in entries:
        said = [element("b", shown(data.name(index))), *(element("p", line) for line in lines)]
        items.append(
            element("li", element("figure", _image(data, index, orientation), element("figcaption", *said)))
        )
    return element("ul", *items, class_="gallery")


def _image(data: Dataset, index: int, orientation: str) -> Html:
    try:
        pixels = data.read(index, orientation)
    except ImageError:  # it could be read a moment ago
        return element("p", "The image can no longer be read.", class_="gone")
    height, width = pixels.shape[:2]
    photo = max(height, width) >= PHOTO_FROM
    return element(
        "img",
        src=thumbnail(pixels),
        alt=f"Image {data.name(index)}",
        class_=None if photo else "pixels",
    )


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """An image, uint8 RGB [H, W, 3], as a data: URI of at most `LONGEST_SIDE` pixels a side.

    Nothing of the file that it came from is in it (no EXIF position, no text). Small ones are PNG, others JPEG.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    form = "PNG" if max(image.size) < PHOTO_FROM else "JPEG"
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": JPEG_QUALITY} if form == "JPEG" else {"optimize": True}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
