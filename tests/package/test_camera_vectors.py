from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pytest

from edgekit.package import camera_vectors
from edgekit.package.camera_vectors import FRAMES, Frame
from edgekit.runtime import preprocess
from edgekit.runtime.spec import Crop, InputSpec, Preprocess
from tests import models


def mixed(number: int) -> int:
    """MurmurHash3's finalizer, in Python's own integers."""
    number ^= number >> 16
    number = number * 0x85EBCA6B & 0xFFFFFFFF
    number ^= number >> 13
    number = number * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16


def test_the_bytes_of_a_frame() -> None:
    frame = Frame(5, 3, 0, 7, 5, 2, 40)
    y, u, v = camera_vectors.planes(frame)
    assert (len(y), len(u), len(v)) == (2 * 7 + 5, 5 + 4 + 1, 5 + 4 + 1)
    assert [*y, *u, *v] == [mixed(40 + i + 1) >> 24 for i in range(len(y) + len(u) + len(v))]


def test_a_digest_by_hand() -> None:
    """A frame of 2 × 2 pixels and one chroma sample, which the model takes as it is."""
    spec = models.spec(
        "uint8", input=dataclasses.replace(models.spec("uint8").input, height=2, width=2, name="image")
    )
    frame = Frame(2, 2, 90, 2, 1, 1, 9)
    y, u, v = (mixed(10 + i) >> 24 for i in range(6)), mixed(14) >> 24, mixed(15) >> 24
    luma = list(y)[:4]

    def rgb(value: int) -> list[int]:
        blue, red = u - 128, v - 128
        exact = (65536 * value + 91881 * red, 65536 * value - 22554 * blue - 46802 * red, 65536 * value + 116130 * blue)
        return [min(max((channel + 32768) >> 16, 0), 255) for channel in exact]

    turned = [luma[2], luma[0], luma[3], luma[1]]  # clockwise
    expected = bytes(channel for value in turned for channel in rgb(value))
    assert camera_vectors.digest(frame, spec) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preprocess": Preprocess("bilinear", Crop("center", 0.875), mean=(127.5,) * 3, std=(127.5,) * 3)},
        {
            "input": InputSpec("image", 20, 30, 1, "float32", "NCHW"),
            "preprocess": Preprocess("nearest", Crop("pad"), channel_order="gray", mean=(0.0,), std=(1.0,)),
        },
    ],
)
def test_the_document(changes: dict[str, Any]) -> None:
    spec = models.spec(**changes)
    found = json.loads(camera_vectors.document(spec))
    assert found["edgekit_camera_vectors"] == 1
    assert [frame["rotation"] for frame in found["vectors"]] == [0, 90, 180, 270] * 2
    assert [frame["uv_pixel_stride"] for frame in found["vectors"]] == [1] * 4 + [2] * 4
    for vector, frame in zip(found["vectors"], FRAMES, strict=True):
        y, u, v = camera_vectors.planes(frame)
        image = preprocess.yuv420_to_rgb(
            y, u, v, frame.height, frame.width, frame.y_row_stride, frame.uv_row_stride, frame.uv_pixel_stride
        )
        tensor = np.asarray(preprocess.prepare(preprocess.rotate(image, frame.rotation), spec))
        assert vector == {**dataclasses.asdict(frame), "input_sha256": hashlib.sha256(tensor.tobytes()).hexdigest()}
    assert len({frame["input_sha256"] for frame in found["vectors"]}) == len(FRAMES)
    assert camera_vectors.document(spec) == camera_vectors.document(spec)
