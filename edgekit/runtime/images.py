"""Image files: bytes in, RGB pixels out.

Decoding is Pillow's. The container is found by content, never by a file's name, and only the formats of
`FORMATS` are tried. JPEG decoders differ by a little between devices, so the bytes that come out of here are
the same on two machines only for the lossless formats; everything after decoding (`edgekit.runtime.preprocess`)
is exact.
"""

from __future__ import annotations

import io
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from edgekit.runtime.errors import ImageError
from edgekit.runtime.spec import ORIENTATIONS, printable

Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "BMP", "WebP", "GIF")
MAX_PIXELS = 64 << 20
MAX_FILE_BYTES = 512 << 20
MAX_SCANS = 100  # of a progressive JPEG: ten are usual, and each takes as long as decoding the whole image once

# What Pillow warns about (broken EXIF data, above all) is either ignored here by design or ends in an ImageError.
# The filter is for the whole process because warnings.catch_warnings() is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Opened directly and not by Image.open(): that loads all of Pillow's 40 plugins when it meets a file it does not
# know, and warns about large images before their size can be looked at.
# Each line: where in the file the signature stands, the signature, the reader.
_READERS: tuple[tuple[int, bytes, type[ImageFile]], ...] = (
    (0, b"\xff\xd8\xff", JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImageFile),
    (0, b"BM", BmpImageFile),
    (8, b"WEBP", WebPImageFile),
    (0, b"GIF8", GifImageFile),
)

# ITU-T T.81, annex B. In the data of a scan only this is a marker: 0xFF00 stands for 0xFF, and D0 to D7 restart.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", 0xD9

# EXIF tag 0x0112 (CIPA DC-008, "Orientation"): how the stored pixels have to be turned to be upright.
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | bytes, *, orientation: str = "exif", max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The pixels of an image file, or of its bytes: uint8 [height, width, 3], RGB, possibly read-only.

    Of an animation the first frame is taken. Grayscale, palette and CMYK become RGB, transparency is composited
    over white, and of 16-bit samples the upper byte is kept. Colour profiles are not applied.

    Args:
        source: a file, or its content.
        orientation: `exif` turns the image as its EXIF data says (broken EXIF data says nothing); `ignore` does not.
        max_pixels: the largest width · height that is decoded; the header is asked before any pixel is decoded.

    Raises:
        ImageError: the file cannot be read, is none of `FORMATS`, is damaged or too large; the message names it.
    """
    if orientation not in ORIENTATIONS:
        raise ImageError(f"The orientation {orientation!r} is not known.", f"Use one of {', '.join(ORIENTATIONS)}.")
    return load(source, lambda image: _upright(image, orientation), max_pixels=max_pixels)


def load(source: Path | bytes, use: Callable[[ImageFile], Result], *, max_pixels: int = MAX_PIXELS) -> Result:
    """What `use` makes of the pixels of an image file, or of its bytes; Pillow has decoded them, as they are stored.

    Args:
        source, max_pixels: as for `decode`.
        use: gets the decoded image; what it raises about a damaged one becomes an ImageError.

    Raises:
        ImageError: as for `decode`.
    """
    name = "The image" if isinstance(source, bytes) else printable(str(source))
    data = source if isinstance(source, bytes) else _read(source, name)
    try:
        image = _open(data, name)
        if image.width * image.height > max_pixels:
            raise ImageError(f"{name} has {image.width}×{image.height} pixels; at most {max_pixels:,} are decoded.",
                             "Scale it down first.")
        if isinstance(image, JpegImageFile) and _has_too_many_scans(data):
            raise ImageError(f"{name} is a progressive JPEG of more than {MAX_SCANS} scans.", "Save it anew.")
        image.load()  # before the EXIF data is looked at, whose errors are ignored
        return use(image)
    except ImageError:
        raise
    except (Image.DecompressionBombError, MemoryError):  # some readers look at the size by themselves
        raise ImageError(f"{name} is too large to be decoded here (at most {max_pixels:,} pixels).",
                         "Scale it down first.") from None
    except Exception as error:  # Pillow answers damaged files with a dozen kinds of exceptions
        reason = printable(str(error))[:100] or type(error).__name__
        raise ImageError(f"{name} is damaged: {reason}.", "Replace the file, or leave it out.") from None


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 16 or more, looks like an image in one of `FORMATS`."""
    return any(head.startswith(signature, offset) for offset, signature, _ in _READERS)


def _upright(image: ImageFile, orientation: str) -> NDArray[np.uint8]:
    rgb = _to_rgb(image)
    turn = _TURNS.get(_orientation(image)) if orientation == "exif" else None
    return np.asarray(rgb if turn is None else rgb.transpose(turn))


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height of the pixels in an image file's content, as its header says; nothing is decoded.

    Raises:
        ImageError: it is none of `FORMATS`, or its header is damaged.
    """
    try:
        return _open(data, "The image").size
    except ImageError:
        raise
    except Exception as error:  # as in `decode`
        reason = printable(str(error))[:100] or type(error).__name__
        raise ImageError(f"The image is damaged: {reason}.", "Replace the file, or leave it out.") from None


def _read(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise ImageError(f"{name} is {kind}, not an image file.")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MB.", "Scale it down first.")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{name} cannot be read: {reason}.", "Check the path and its permissions.") from None


def _open(data: bytes, name: str) -> ImageFile:
    if not data:
        raise ImageError(f"{name} is empty.", "Replace the file, or leave it out.")
    for offset, signature, reader in _READERS:
        if data.startswith(signature, offset):
            return reader(io.BytesIO(data))
    raise ImageError(f"{name} is not an image in one of the formats {', '.join(FORMATS)}.",
                     "Convert it to JPEG or PNG, or leave it out.")


def _has_too_many_scans(data: bytes) -> bool:
    """Whether decoding a JPEG could take minutes: libjpeg decodes the whole image for each of a few bytes' scans."""
    if data.count(_START_OF_SCAN) <= MAX_SCANS:
        return False
    scans, position = 0, 2
    while scans <= MAX_SCANS and (found := _MARKER.search(data, position)) and found[1][0] != _END_OF_IMAGE:
        scans += found[0] == _START_OF_SCAN
        # What lies in a segment is none of its markers: a preview, a profile. Those below 0xC0 have no segment.
        length = int.from_bytes(data[found.end():found.end() + 2]) if found[1][0] >= 0xC0 else 0
        position = found.end() + length
    return scans > MAX_SCANS


def _has_transparency(image: Image.Image) -> bool:
    """Pillow's `has_transparency_data`, which the Pillow 9.4 of Debian 12 does not have."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return True
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grayscale PNG; Pillow itself keeps the upper byte of 16-bit colours
        upper = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert("RGB")
    if _has_transparency(image):
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # whatever is wrong with the EXIF data, the pixels are good
        return 1
