"""The bytes that a model takes, against independent arithmetic and the golden vectors."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.runtime import preprocess
from edgekit.runtime.errors import ImageError
from edgekit.runtime.preprocess import (
    MAX_WORK_PIXELS,
    Box,
    crop_box,
    pattern,
    pixels,
    prepare,
    resize,
    rotate,
    taps,
    to_tensor,
)
from edgekit.runtime.spec import KERNELS, Crop
from tests.fixtures.preprocess import make
from tests.fixtures.preprocess.make import IMAGENET, SYMMETRIC, make_spec

VECTORS = Path(make.__file__).parent
INDEX = json.loads((VECTORS / "index.json").read_text())
DATA = (VECTORS / "data.bin").read_bytes()
PHOTO = pattern("noise", 48, 70)


def stored(entry, dtype="uint8"):
    count = math.prod(entry["shape"])
    return np.frombuffer(DATA, np.dtype(dtype).newbyteorder("<"), count, entry["offset"]).reshape(entry["shape"])


def inputs():
    return {name: stored(entry) if "offset" in entry else pattern(entry["pattern"], *entry["shape"][:2])
            for name, entry in INDEX["arrays"].items()}


# The golden vectors

@pytest.mark.parametrize("case", INDEX["cases"], ids=lambda case: case["name"])
def test_the_code_gives_the_golden_answer(case):
    result = make.answer(case, inputs())
    if "value" in case:
        assert result == case["value"]
        return
    assert list(result.shape) == case["shape"]
    assert result.dtype == case["dtype"]
    if "offset" in case:
        np.testing.assert_array_equal(result, stored(case, case["dtype"]))
    assert hashlib.sha256(result.tobytes()).hexdigest() == case["sha256"]


def test_the_golden_vectors_are_what_make_py_writes():
    index, data = make.build()
    assert index == (VECTORS / "index.json").read_text(), "run tests/fixtures/preprocess/make.py"
    assert data == DATA


# Resizing

@pytest.mark.parametrize("kernel", ["bilinear-aa", "bicubic-aa"])
def test_pillow_axis_by_axis_equals_the_integer_arithmetic(kernel):
    random = np.random.default_rng(5)
    shapes = [tuple(int(side) for side in np.exp(random.uniform(0, np.log(200), 4))) for _ in range(120)]
    shapes += [(1, 1, 9, 7), (1, 90, 30, 1), (77, 1, 1, 200), (64, 64, 64, 32), (33, 80, 100, 80), (3, 199, 150, 2)]
    for number, (height, width, new_height, new_width) in enumerate(shapes):
        image = random.integers(0, 256, (height, width, 1 + 2 * (number % 2)), np.uint8)
        if number % 3 == 0:  # full contrast, which makes bicubic overshoot the range of a byte
            image = np.where(image < 128, 0, 255).astype(np.uint8)
        expected = image
        if width != new_width:
            expected = preprocess.apply_taps(expected, *taps(width, new_width, kernel), axis=1)
        if height != new_height:
            expected = preprocess.apply_taps(expected, *taps(height, new_height, kernel), axis=0)
        np.testing.assert_array_equal(resize(image, new_height, new_width, kernel), expected, str(shapes[number]))


def bilinear_in_floats(image, height, width):
    """tf.image.resize(antialias=False): half-pixel centres, the edge repeated."""
    for axis, size in enumerate((height, width)):
        last = image.shape[axis] - 1
        position = (np.arange(size) + 0.5) * (last + 1) / size - 0.5
        low = np.floor(position).astype(int)
        weight = np.expand_dims(position - low, tuple(range(1, 3 - axis)))
        first, second = (np.take(image, np.clip(at, 0, last), axis) for at in (low, low + 1))
        image = first * (1 - weight) + second * weight
    return image


def test_bilinear_is_within_one_of_floating_point():
    random = np.random.default_rng(6)
    for _ in range(60):
        height, width, new_height, new_width = (int(side) for side in np.exp(random.uniform(0, np.log(150), 4)))
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = bilinear_in_floats(image.astype(float), new_height, new_width)
        result = resize(image, new_height, new_width, "bilinear")
        assert result.shape == (new_height, new_width, 3)
        assert np.abs(result - expected.round()).max() <= 1


def test_bilinear_does_not_average_when_it_shrinks():
    stripes = np.zeros((8, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    assert resize(stripes, 8, 8, "bilinear").max() == 0
    assert resize(stripes, 8, 8, "bilinear-aa").min() > 0


def test_nearest_takes_the_pixel_under_the_centre():
    for height, width, new_height, new_width in ((5, 7, 3, 11), (480, 640, 224, 224), (1, 9, 4, 4)):
        image = pattern("noise", height, width)
        rows = [math.floor((row + 0.5) * height / new_height) for row in range(new_height)]
        columns = [math.floor((column + 0.5) * width / new_width) for column in range(new_width)]
        np.testing.assert_array_equal(resize(image, new_height, new_width, "nearest"), image[rows][:, columns])


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_axis_that_has_the_size_is_left_alone(kernel):
    assert resize(PHOTO, 48, 70, kernel) is PHOTO
    column = np.repeat(PHOTO[:, :1], 70, axis=1)
    np.testing.assert_array_equal(resize(column, 48, 9, kernel), column[:, :9])
    row = np.repeat(PHOTO[:1], 48, axis=0)
    np.testing.assert_array_equal(resize(row, 90, 70, kernel), np.repeat(PHOTO[:1], 90, axis=0))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_flat_image_stays_flat(kernel):
    for value in (0, 1, 127, 255):
        assert (resize(np.full((13, 31, 3), value, np.uint8), 29, 7, kernel) == value).all()


def test_images_that_cannot_be_resized_are_refused():
    tall = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1 << 26, 1, 3))
    with pytest.raises(ImageError, match=r"224×67108864 pixels on the way"):
        resize(tall, 224, 224, "bilinear-aa")
    for size in ((1_198_000, 1), (1, 1 << 23)):  # files of a few hundred bytes, which took a gigabyte
        with pytest.raises(ImageError, match="pixels"):
            resize(np.broadcast_to(tall[0], (*size, 3)), 224, 224, "bicubic-aa")
    for kernel in ("bilinear", "nearest"):
        assert resize(tall, 4, 4, kernel).shape == (4, 4, 3)
    with pytest.raises(ImageError, match="lanczos"):
        resize(PHOTO, 4, 4, "lanczos")
    wrong: list[Any] = [PHOTO.astype(np.float32), PHOTO[:, :, :2], PHOTO[:, :, 0], PHOTO[:0]]
    for image in wrong:
        with pytest.raises(ImageError, match="Expected an image"):
            resize(image, 4, 4, "bilinear")


# Cropping

@pytest.mark.parametrize(("crop", "image", "size", "box"), [
    (Crop(), (48, 70), (10, 10), (0, 0, 48, 70)),
    (Crop("center"), (48, 70), (10, 10), (0, 11, 48, 48)),
    (Crop("center"), (70, 48), (10, 10), (11, 0, 48, 48)),
    (Crop("center"), (48, 71), (10, 10), (0, 11, 48, 48)),
    (Crop("center", 1.0, "round"), (48, 71), (10, 10), (0, 12, 48, 48)),
    (Crop("center"), (100, 100), (10, 15), (17, 0, 66, 100)),
    (Crop("center", 1.0, "round"), (100, 100), (10, 15), (17, 0, 67, 100)),
    (Crop("center", 0.875), (480, 640), (224, 224), (30, 110, 420, 420)),
    (Crop("center", 0.875), (333, 500), (224, 224), (21, 104, 291, 291)),
    (Crop("center", 0.001), (48, 70), (10, 10), (23, 34, 1, 1)),
    (Crop("pad"), (48, 70), (10, 10), (-11, 0, 70, 70)),
    (Crop("pad"), (48, 71), (10, 10), (-11, 0, 71, 71)),
    (Crop("pad", 1.0, "round"), (48, 71), (10, 10), (-12, 0, 71, 71)),
    (Crop("pad"), (71, 48), (10, 10), (0, -11, 71, 71)),
    (Crop("pad"), (100, 100), (10, 15), (0, -25, 100, 150)),
    (Crop("pad"), (50, 50), (10, 10), (0, 0, 50, 50)),
])
def test_crop_box(crop, image, size, box):
    assert crop_box(image[0], image[1], make_spec(*size, crop=crop)) == Box(*box)


def test_center_boxes_lie_in_the_image_and_canvases_hold_it():
    random = np.random.default_rng(7)
    for _ in range(500):
        height, width, *size = np.exp(random.uniform(0, np.log(3000), 4)).astype(int).tolist()
        for rounding in ("floor", "round"):
            fraction = float(random.uniform(0.01, 1))
            box = crop_box(height, width, make_spec(*size, crop=Crop("center", fraction, rounding)))
            assert 0 <= box.top <= box.top + box.height <= height
            assert 0 <= box.left <= box.left + box.width <= width
            canvas = crop_box(height, width, make_spec(*size, crop=Crop("pad", 1.0, rounding)))
            assert canvas.top <= 0 < height <= canvas.top + canvas.height
            assert canvas.left <= 0 < width <= canvas.left + canvas.width
            assert canvas.height == height or canvas.width == width


def test_center_keeps_the_middle_and_copies_when_the_size_fits():
    result = pixels(PHOTO, make_spec(48, 48, crop=Crop("center")))
    np.testing.assert_array_equal(result, PHOTO[:, 11:59])
    assert prepare(PHOTO, make_spec(48, 48, crop=Crop("center"))).flags.c_contiguous


@pytest.mark.parametrize(("rounding", "left"), [("floor", 11), ("round", 12)])
def test_pad_surrounds_the_image_with_the_fill(rounding, left):
    image = pattern("noise", 71, 48)
    result = pixels(image, make_spec(71, 71, crop=Crop("pad", 1.0, rounding, (1, 20, 255))))
    np.testing.assert_array_equal(result[:, left:left + 48], image)
    outside = np.concatenate([result[:, :left], result[:, left + 48:]], axis=1)
    assert (outside == (1, 20, 255)).all()


def test_a_canvas_that_would_fill_the_memory_is_refused():
    line = np.zeros((1, 65535, 3), np.uint8)
    with pytest.raises(ImageError, match="65535×65535 pixels on the way"):
        prepare(line, make_spec(crop=Crop("pad")))
    with pytest.raises(ImageError, match="16384×16384 pixels on the way"):
        prepare(line[:, :1 << 14], make_spec(crop=Crop("pad")))
    box = crop_box(6120, 8160, make_spec(crop=Crop("pad")))  # a photo of 50 megapixels
    assert box.height * box.width <= MAX_WORK_PIXELS


# Channels

def test_gray_is_the_luma_of_the_cropped_image_before_resizing():
    red, green, blue = (PHOTO[:, 11:59, channel].astype(int) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000 >> 16).astype(np.uint8)[:, :, None]
    crop = Crop("center")
    np.testing.assert_array_equal(pixels(PHOTO, make_spec(48, 48, order="gray", crop=crop)), luma)
    np.testing.assert_array_equal(pixels(PHOTO, make_spec(20, 20, order="gray", crop=crop)),
                                  resize(luma, 20, 20, "bilinear-aa"))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("order", ["gray", "RGB"])
def test_three_views_of_one_channel_give_what_three_copies_give(order, kernel):
    channel = np.ascontiguousarray(PHOTO[:, :, 0])
    views = np.broadcast_to(channel[:, :, None], PHOTO.shape)
    for side in (20, 48, 90):
        spec = make_spec(side, side, order=order, crop=Crop("center"), kernel=kernel)
        np.testing.assert_array_equal(prepare(views, spec), prepare(views.copy(), spec))


def test_bgr_is_rgb_backwards():
    np.testing.assert_array_equal(pixels(PHOTO, make_spec(order="BGR")), pixels(PHOTO, make_spec())[:, :, ::-1])


def test_pixels_wants_three_channels():
    with pytest.raises(ImageError, match=r"\[height, width, 3\]"):
        pixels(PHOTO[:, :, :1], make_spec())


# Tensors

@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("dtype", "scale", "zero_point", "normalisation"), [
    ("float32", 1.0, 0, SYMMETRIC), ("float32", 1.0, 0, IMAGENET), ("uint8", 1.0, 0, {}),
    ("uint8", 1 / 128, 128, SYMMETRIC), ("uint8", 0.0186, 114, IMAGENET), ("int8", 1.0, -128, {}),
    ("int8", 0.0187, -14, IMAGENET), ("int8", 0.5, 3, {}), ("int16", 1 / 32767, 0, SYMMETRIC),
])
def test_to_tensor_is_the_formula(layout, dtype, scale, zero_point, normalisation):
    image = np.arange(256 * 3).astype(np.uint8).reshape(32, 8, 3)
    spec = make_spec(32, 8, dtype=dtype, scale=scale, zero_point=zero_point, layout=layout, **normalisation)
    limits = None if dtype == "float32" else np.iinfo(dtype)
    expected = np.empty((32, 8, 3), dtype)
    for (row, column, channel), value in np.ndenumerate(image):
        real = (int(value) - spec.preprocess.mean[channel]) / spec.preprocess.std[channel]
        if limits is not None:
            real = min(max(math.floor(real / scale + zero_point + 0.5), limits.min), limits.max)
        expected[row, column, channel] = real
    result = to_tensor(image, spec)
    assert result.dtype == dtype
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected if layout == "NHWC" else expected.transpose(2, 0, 1))


def test_steps_halfway_between_two_are_rounded_up():
    for mean, values, steps in ((0.0, [1, 3, 5, 255], [1, 2, 3, 127]), (6.0, [1, 3, 5, 6], [-2, -1, 0, 0])):
        image = np.repeat(np.array([values], np.uint8)[:, :, None], 3, axis=2)
        tensor = to_tensor(image, make_spec(1, 4, dtype="int8", scale=2.0, mean=(mean,) * 3))
        assert tensor[0, :, 0].tolist() == steps


def test_plain_bytes_pass_without_work():
    image = pattern("noise", 12, 12)
    assert to_tensor(image, make_spec()) is image
    assert np.shares_memory(prepare(image, make_spec()), image)


def test_to_tensor_checks_the_shape():
    with pytest.raises(ImageError, match=r"\(12, 12, 3\) and dtype uint8, got \(12, 13, 3\)"):
        to_tensor(pattern("noise", 12, 13), make_spec())
    with pytest.raises(ImageError, match="float32"):
        to_tensor(np.zeros((12, 12, 3), np.float32), make_spec())


# Camera frames

def test_rotate_is_clockwise():
    image = pattern("noise", 2, 3)
    np.testing.assert_array_equal(rotate(image, 0), image)
    turned = rotate(image, 90)
    assert turned.shape == (3, 2, 3)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned[0, 1], image[0, 0])
    np.testing.assert_array_equal(turned[2, 0], image[1, 2])
    np.testing.assert_array_equal(rotate(turned, 90), rotate(image, 180))
    np.testing.assert_array_equal(rotate(rotate(image, 270), 90), image)
    with pytest.raises(ImageError, match="45"):
        rotate(image, 45)


def planes(height, width, uv_pixel_stride, padding=0):
    """A random frame as Android gives it: the planes end with their last sample, interleaved ones share a buffer."""
    random = np.random.default_rng(height * width)
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    y_stride, uv_stride = width + padding, half_width * uv_pixel_stride + padding
    y = random.integers(0, 256, (height - 1) * y_stride + width, np.uint8)
    samples = (half_height - 1) * uv_stride + (half_width - 1) * uv_pixel_stride + 1
    chroma = random.integers(0, 256, 2 * samples, np.uint8)
    v, u = (chroma[:samples], chroma[1:samples + 1]) if uv_pixel_stride == 2 else (chroma[samples:], chroma[:samples])
    return y, u, v, height, width, y_stride, uv_stride, uv_pixel_stride


@pytest.mark.parametrize("frame", [
    planes(4, 6, 1), planes(5, 7, 1), planes(4, 6, 2), planes(5, 7, 2, padding=3), planes(6, 2, 1, padding=5),
    planes(1, 1, 2), planes(6, 5, 4), planes(120, 100, 2, padding=4),
], ids=lambda frame: "x".join(str(number) for number in frame[3:]))
def test_yuv_is_the_formula_pixel_by_pixel(frame):
    y, u, v, height, width, y_stride, uv_stride, uv_pixel_stride = frame
    result = preprocess.yuv420_to_rgb(*frame)
    assert result.shape == (height, width, 3)
    for row in range(height):
        for column in range(width):
            chroma = (row >> 1) * uv_stride + (column >> 1) * uv_pixel_stride
            luma, blue, red = int(y[row * y_stride + column]) << 16, int(u[chroma]) - 128, int(v[chroma]) - 128
            exact = (luma + 91881 * red, luma - 22554 * blue - 46802 * red, luma + 116130 * blue)
            assert result[row, column].tolist() == [min(max(value + 32768 >> 16, 0), 255) for value in exact]


def test_yuv_is_the_colour_space_of_jpeg():
    y, u, v, *rest = planes(64, 64, 1)
    full = [y.reshape(64, 64)] + [plane.reshape(32, 32).repeat(2, 0).repeat(2, 1) for plane in (u, v)]
    expected = np.asarray(Image.merge("YCbCr", [Image.fromarray(plane) for plane in full]).convert("RGB"))
    assert np.abs(preprocess.yuv420_to_rgb(y, u, v, *rest).astype(int) - expected).max() <= 1


def test_yuv_black_gray_and_white():
    neutral = np.full(1, 128, np.uint8)
    for value in (0, 77, 255):
        rgb = preprocess.yuv420_to_rgb(np.full(4, value, np.uint8), neutral, neutral, 2, 2, 2, 1, 1)
        assert (rgb == value).all()


def test_yuv_planes_that_do_not_fit_are_refused():
    y, u, v, height, width, y_stride, uv_stride, uv_pixel_stride = planes(6, 8, 2)
    sizes = height, width, y_stride, uv_stride, uv_pixel_stride
    for short in ((y[:-1], u, v), (y, u[:-1], v), (y, u, v[:-1])):
        with pytest.raises(ImageError, match="flat bytes"):
            preprocess.yuv420_to_rgb(*short, *sizes)
    for wrong in ((6, 8, 7, 8, 2), (6, 8, 8, 6, 2), (6, 8, 8, 8, 0), (6, 8, 8, -8, 2), (0, 8, 8, 8, 2)):
        with pytest.raises(ImageError, match=r"impossible strides|cannot have"):
            preprocess.yuv420_to_rgb(y, u, v, *wrong)
    with pytest.raises(ImageError, match="flat bytes"):
        preprocess.yuv420_to_rgb(y.astype(np.int32), u, v, *sizes)


# Patterns

def test_patterns_are_the_documented_integers():
    height, width = 19, 26
    gradient, checker, noise = (pattern(name, height, width) for name in ("gradient", "checker", "noise"))
    for row in range(height):
        for column in range(width):
            red, green = 255 * column // (width - 1), 255 * row // (height - 1)
            assert gradient[row, column].tolist() == [red, green, 255 - (red + green) // 2]
            dark = (column // 8 + row // 8) % 2 == 0
            assert checker[row, column].tolist() == ([224, 32, 96] if dark else [16, 160, 240])
            for channel in range(3):
                mixed = (row * width + column) * 3 + channel + 1
                mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & 0xFFFFFFFF
                mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
                assert noise[row, column, channel] == (mixed ^ mixed >> 16) >> 24


def test_noise_looks_like_noise():
    noise = pattern("noise", 128, 128).astype(float)
    assert abs(noise.mean() - 127.5) < 2
    assert abs(noise.std() - 73.9) < 1
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02


def test_a_pattern_of_one_pixel_and_an_unknown_one():
    assert pattern("gradient", 1, 1).tolist() == [[[0, 0, 255]]]
    with pytest.raises(ImageError, match="plaid"):
        pattern("plaid", 2, 2)
