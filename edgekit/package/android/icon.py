"""The app's icon: the user's picture in the middle of the canvas of an adaptive icon."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from edgekit.runtime import images

# An adaptive icon is 108 dp wide, here with 4 pixels each; launchers cut it to shapes that always show the circle of
# 66 dp in its middle (developer.android.com, "Adaptive icons").
CANVAS = 432
SAFE = 264


def foreground(path: Path) -> bytes:
    """A PNG file of 432 × 432 pixels with the picture in its safe zone; around it, it is transparent.

    Raises:
        ImageError: the picture cannot be read, is of another format than `images.FORMATS`, or too large.
    """
    return images.load(path, _foreground)


def _foreground(image: ImageFile) -> bytes:
    picture = ImageOps.exif_transpose(image).convert("RGBA")
    # With the colours multiplied by their opacity, hidden colours of transparent pixels do not shine through.
    picture = ImageOps.contain(picture.convert("RGBa"), (SAFE, SAFE), Image.Resampling.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    canvas.paste(picture, ((CANVAS - picture.width) // 2, (CANVAS - picture.height) // 2))
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()
