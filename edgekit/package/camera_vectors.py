"""Camera frames with the digest of the tensor that they must become: a device proves its camera path with them.

A frame is planes of pseudo-random bytes (YUV_420_888) that the device makes from a seed, so that a package carries
a few numbers instead of images. The device converts, rotates and prepares it as it does with frames of its camera;
the digest of what comes out must be the one that `edgekit.runtime.preprocess` found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime import preprocess
from edgekit.runtime.spec import ModelSpec

VERSION = 1


@dataclass(frozen=True)
class Frame:
    """The layout of a frame, its clockwise rotation in degrees, and the seed of its bytes."""

    width: int
    height: int
    rotation: int
    y_row_stride: int
    uv_row_stride: int
    uv_pixel_stride: int
    seed: int


# Every rotation with planar and with interleaved chroma; odd sizes, and rows with and without padding.
FRAMES = (
    Frame(320, 240, 0, 320, 160, 1, 1),
    Frame(321, 241, 90, 384, 192, 1, 2),
    Frame(319, 240, 180, 320, 161, 1, 3),
    Frame(320, 239, 270, 336, 176, 1, 4),
    Frame(320, 240, 0, 320, 320, 2, 5),
    Frame(321, 239, 90, 323, 323, 2, 6),
    Frame(322, 242, 180, 384, 384, 2, 7),
    Frame(319, 241, 270, 352, 340, 2, 8),
)


def document(spec: ModelSpec) -> bytes:
    """The frames and their digests for a model, as the JSON file that packages carry.

    Raises:
        ImageError: the spec's input is too extreme for such a frame.
    """
    vectors = [{**dataclasses.asdict(frame), "input_sha256": digest(frame, spec)} for frame in FRAMES]
    return json.dumps({"edgekit_camera_vectors": VERSION, "vectors": vectors}, indent=1).encode() + b"\n"


def digest(frame: Frame, spec: ModelSpec) -> str:
    """The SHA-256 of the input tensor for this frame (C order, little-endian), in hexadecimal.

    Raises:
        ImageError: the spec's input is too extreme for such a frame.
    """
    y, u, v = planes(frame)
    rgb = preprocess.yuv420_to_rgb(
        y, u, v, frame.height, frame.width, frame.y_row_stride, frame.uv_row_stride, frame.uv_pixel_stride
    )
    tensor = preprocess.prepare(preprocess.rotate(rgb, frame.rotation), spec)
    return hashlib.sha256(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def planes(frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """The planes Y, U and V of a frame, uint8, flat; each ends with its last sample.

    Byte i of the three, one after another, is the upper byte of mix(seed + i + 1): the mix of the `noise` pattern
    (`edgekit.runtime.preprocess.pattern`).
    """
    luma = (frame.height - 1) * frame.y_row_stride + frame.width
    rows, columns = (frame.height + 1) // 2, (frame.width + 1) // 2
    chroma = (rows - 1) * frame.uv_row_stride + (columns - 1) * frame.uv_pixel_stride + 1
    content = _noise(luma + 2 * chroma, frame.seed)
    return content[:luma], content[luma : luma + chroma], content[luma + chroma :]


def _noise(size: int, seed: int) -> NDArray[np.uint8]:
    return (preprocess.mix(np.arange(seed + 1, seed + 1 + size, dtype=np.uint32)) >> 24).astype(np.uint8)
