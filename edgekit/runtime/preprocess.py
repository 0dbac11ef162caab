"""From a decoded image to the bytes that a model takes: the reference for every runtime.

All of it is integer arithmetic, or a table made in float64, so that another language can repeat it to the byte;
the vectors in `tests/fixtures/preprocess` prove that it does. The order of the steps is fixed:

    camera frame: YUV → RGB → rotate ─┐
    image file:   decode (images.py) ─┴→ crop → gray → resize → channel order → normalise, quantize → layout

Resizing multiplies each output pixel's neighbours with weights of 22 fractional bits (`taps`), first along the
rows, then along the columns, and rounds to a byte after each of the two passes. The antialiased kernels are run by
Pillow, one axis at a time (in one call Pillow chooses the order of the passes by cost), which gives the same bytes.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.runtime.errors import ImageError
from edgekit.runtime.spec import KERNELS, PATTERNS, ModelSpec, Quantization

Pixels = NDArray[np.uint8]

WEIGHT_BITS = 22
MAX_WORK_PIXELS = 1 << 26  # 200 MB
MAX_SIDE = 1 << 22  # Pillow's weights take up to 32 bytes for each pixel of a side

_PILLOW_FILTERS = {"bilinear-aa": Image.Resampling.BILINEAR, "bicubic-aa": Image.Resampling.BICUBIC}


class Box(NamedTuple):
    """A region of an image, in pixels. In the crop mode `pad` it reaches beyond the image: top or left is negative."""

    top: int
    left: int
    height: int
    width: int


def prepare(image: Pixels, spec: ModelSpec) -> NDArray[Any]:
    """The input tensor for an image, without the batch axis.

    Args:
        image: uint8 [height, width, 3], RGB, of any size.

    Returns:
        [height, width, channels] or, for the layout NCHW, [channels, height, width], of the spec's input dtype.

    Raises:
        ImageError: `image` is no such array, or its shape is too extreme to be resized.
    """
    return to_tensor(pixels(image, spec), spec)


def pixels(image: Pixels, spec: ModelSpec) -> Pixels:
    """Crop, convert to gray, resize, order the channels: all steps that leave bytes.

    Args:
        image: uint8 [height, width, 3], RGB, of any size.

    Returns:
        uint8 [height, width, channels] of the spec's input. It may share memory with `image`.

    Raises:
        ImageError: `image` is no such array, or its shape is too extreme to be resized.
    """
    _check_image(image, (3,))
    region = _crop(image, spec)
    if spec.preprocess.channel_order == "gray":
        region = _gray(region)
    result = resize(region, spec.input.height, spec.input.width, spec.preprocess.resize)
    return np.ascontiguousarray(result[:, :, ::-1]) if spec.preprocess.channel_order == "BGR" else result


def to_tensor(image: Pixels, spec: ModelSpec) -> NDArray[Any]:
    """Normalise, quantize, lay out.

    A byte v of a channel becomes real = (v − mean) / std, in float64. A float32 input takes it rounded to float32,
    a quantized one floor(real / scale + zero_point + 0.5), clipped to the dtype.

    Args:
        image: uint8 [height, width, channels] of the spec's input, as `pixels` makes it.

    Returns:
        [height, width, channels] or, for the layout NCHW, [channels, height, width], contiguous. It is `image` itself
        where nothing has to be done.

    Raises:
        ImageError: `image` is no such array.
    """
    shape = spec.input.height, spec.input.width, spec.input.channels
    if image.dtype != np.uint8 or image.shape != shape:
        raise ImageError(f"Expected pixels of shape {shape} and dtype uint8, got {image.shape} and {image.dtype}.")
    nchw = spec.input.layout == "NCHW"
    tables = _tables(spec.preprocess.mean, spec.preprocess.std, spec.input.dtype, spec.input.quantization)
    if tables is not None and len(tables) > 1:
        return np.stack([table.take(image[:, :, c]) for c, table in enumerate(tables)], 0 if nchw else 2)
    image = np.ascontiguousarray(image.transpose(2, 0, 1) if nchw else image)
    if tables is None:
        return image
    tensor: NDArray[Any] = tables[0].take(image)
    return tensor


def crop_box(height: int, width: int, spec: ModelSpec) -> Box:
    """The region of an image of this size that the model sees. See `edgekit.runtime.spec.Crop`.

    With the input's size h × w, the largest region of its aspect ratio is (width·h/w) × width if height·w > width·h,
    otherwise height × (height·w/h); the smallest canvas is the other way round. These quotients and their product with
    the fraction are float64. `floor` cuts the sides to int(side) and the offsets to (outer − inner) // 2; `round` makes
    them int(side + 0.5) and (outer − inner + 1) // 2; outer and inner are the image and the region, or the canvas and
    the image. A side has at least one pixel.
    """
    crop = spec.preprocess.crop
    if crop.mode == "none":
        return Box(0, 0, height, width)
    half = 0.5 if crop.rounding == "round" else 0.0
    too_tall = height * spec.input.width > width * spec.input.height
    if too_tall == (crop.mode == "center"):
        sides = width * spec.input.height / spec.input.width, float(width)
    else:
        sides = float(height), height * spec.input.width / spec.input.height
    box_height, box_width = (max(1, int(side * crop.fraction + half)) for side in sides)
    top, left = _offset(height, box_height, crop.rounding), _offset(width, box_width, crop.rounding)
    return Box(top, left, box_height, box_width)


def resize(image: Pixels, height: int, width: int, kernel: str) -> Pixels:
    """Resize to height × width; an axis that has this size already is left alone.

    Args:
        image: uint8 [H, W, 1 or 3].
        kernel: one of `edgekit.runtime.spec.KERNELS`:
            `bilinear-aa`, `bicubic-aa`: Pillow's antialiased kernels; the support grows with the scale (`taps`).
            `bilinear`: the two nearest pixels whatever the scale, half-pixel centres; tf.image.resize within 1.
            `nearest`: the pixel (2x + 1)·W // (2·width), that is floor((x + 0.5)·W/width).

    Returns:
        uint8 [height, width, channels]; `image` itself where nothing has to be done.

    Raises:
        ImageError: `image` is no such array, the kernel is unknown, or an antialiased one would need too much
            memory: the result of the first pass, H × width, has more than `MAX_WORK_PIXELS`, or a side of the image
            more than `MAX_SIDE`.
    """
    _check_image(image, (1, 3))
    if kernel not in KERNELS:
        raise ImageError(f"The resize kernel {kernel!r} is not known.", f"Use one of {', '.join(KERNELS)}.")
    if image.shape[:2] == (height, width):
        return image
    if kernel in _PILLOW_FILTERS:
        return _resize_antialiased(image, height, width, _PILLOW_FILTERS[kernel])
    if kernel == "nearest":
        return image[_nearest(image.shape[0], height)].take(_nearest(image.shape[1], width), axis=1)
    return _resize_bilinear(image, height, width)


@functools.lru_cache(maxsize=256)
def taps(size_in: int, size_out: int, kernel: str) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Which pixels of an axis make each output pixel, and with which weights.

    For output x: scale s = size_in/size_out; f = max(s, 1) for an antialiased kernel, else 1; centre c = (x + 0.5)·s;
    support r = f (bilinear) or 2·f (bicubic); the taps i run from max(int(c − r + 0.5), 0) to
    min(int(c + r + 0.5), size_in), the end excluded. The weight of tap i is kernel((i − c + 0.5)·(1/f)), divided by the
    sum of the weights (added in ascending order), times 2^22, rounded half away from zero. All of it is float64 until
    this rounding. bilinear(d) = max(0, 1 − |d|); bicubic is Keys' with a = −0.5 (IEEE Trans. ASSP 29(6), 1981).
    This is Pillow's `precompute_coeffs` (src/libImaging/Resample.c).

    Returns:
        starts: [size_out], the first tap of each output pixel.
        weights: int32 [size_out, longest], zero beyond an output pixel's last tap.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0) if kernel in _PILLOW_FILTERS else 1.0
    support = 2.0 * stretch if kernel == "bicubic-aa" else stretch
    centres = (np.arange(size_out) + 0.5) * scale
    starts = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    ends = np.minimum((centres + support + 0.5).astype(np.intp), size_in)
    positions = starts[:, None] + np.arange((ends - starts).max())
    distances = np.abs((positions - centres[:, None] + 0.5) * (1.0 / stretch))
    weights = _bicubic(distances) if kernel == "bicubic-aa" else np.maximum(1.0 - distances, 0.0)
    weights[positions >= ends[:, None]] = 0.0
    weights /= weights.cumsum(axis=1)[:, -1:]
    fixed = np.trunc(weights * (1 << WEIGHT_BITS) + np.copysign(0.5, weights)).astype(np.int32)
    for array in (starts, fixed):
        array.flags.writeable = False
    return starts, fixed


def apply_taps(image: Pixels, starts: NDArray[np.intp], weights: NDArray[np.int32], axis: int) -> Pixels:
    """One pass of a resize: (Σ byte·weight + 2^21) >> 22 in 32-bit integers, clipped to a byte.

    Args:
        image: uint8 [H, W, C].
        starts, weights: from `taps`.
        axis: 0 to change the height, 1 to change the width.
    """
    factors = weights.T[:, :, None]
    # One weight per channel for axis 1, since numpy is slow at broadcasting along a short last axis.
    factors = factors.repeat(image.shape[2], 2) if axis == 1 else factors[:, :, None]
    last = image.shape[axis] - 1
    shape = (*image.shape[:axis], len(starts), *image.shape[axis + 1:])
    total = np.full(shape, 1 << (WEIGHT_BITS - 1), np.int32)
    for tap, factor in enumerate(factors):
        total += np.multiply(image.take(np.minimum(starts + tap, last), axis), factor, dtype=np.int32)
    total >>= WEIGHT_BITS
    return total.clip(0, 255).astype(np.uint8)


def rotate(image: Pixels, degrees: int) -> Pixels:
    """Rotate clockwise by 0, 90, 180 or 270 degrees: uint8 [height, width, C], contiguous.

    Raises:
        ImageError: another angle.
    """
    if degrees not in (0, 90, 180, 270):
        raise ImageError(f"Images are rotated by 0, 90, 180 or 270 degrees, not by {degrees}.")
    return np.ascontiguousarray(np.rot90(image, -degrees // 90))


def yuv420_to_rgb(y: Pixels, u: Pixels, v: Pixels, height: int, width: int,
                  y_row_stride: int, uv_row_stride: int, uv_pixel_stride: int) -> Pixels:
    """A camera frame (Android's YUV_420_888; NV12, NV21 and I420 are cases of it) as uint8 [height, width, 3], RGB.

    Full-range BT.601 (JFIF 1.02) with 16 fractional bits. The pixel (row, column) takes the chroma sample
    (row >> 1, column >> 1):

        R = (65536·Y + 91881·(V−128) + 32768) >> 16
        G = (65536·Y − 22554·(U−128) − 46802·(V−128) + 32768) >> 16
        B = (65536·Y + 116130·(U−128) + 32768) >> 16        each clipped to a byte

    Args:
        y, u, v: uint8, flat. A plane may end with its last sample, without the rest of the row.
        y_row_stride, uv_row_stride: bytes from one row to the next.
        uv_pixel_stride: bytes from one chroma sample to the next.

    Raises:
        ImageError: the size or a stride is impossible, or a plane is too short for them.
    """
    if height < 1 or width < 1:
        raise ImageError(f"A camera frame cannot have {width}×{height} pixels.")
    luma = _plane(y, "Y", height, width, y_row_stride, 1)
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    blue = _plane(u, "U", half_height, half_width, uv_row_stride, uv_pixel_stride).astype(np.int32) - 128
    red = _plane(v, "V", half_height, half_width, uv_row_stride, uv_pixel_stride).astype(np.int32) - 128
    base = (luma.astype(np.int32) << 16) + 32768
    rgb = np.empty((height, width, 3), np.uint8)
    for channel, chroma in enumerate((91881 * red, -22554 * blue - 46802 * red, 116130 * blue)):
        full = chroma.repeat(2, 0)[:height].repeat(2, 1)[:, :width]
        rgb[:, :, channel] = ((base + full) >> 16).clip(0, 255)
    return rgb


def pattern(name: str, height: int, width: int) -> Pixels:
    """A test image made by integer arithmetic, so that golden answers need not carry it: uint8 [height, width, 3].

    With row y, column x and channel c:

    - `gradient`: R = 255·x // max(width−1, 1), G = 255·y // max(height−1, 1), B = 255 − (R + G) // 2.
    - `checker`: squares of 8 × 8 pixels; where x // 8 + y // 8 is even (224, 32, 96), elsewhere (16, 160, 240).
    - `noise`: the upper byte of mix((y·width + x)·3 + c + 1).

    Raises:
        ImageError: there is no such pattern.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    if name == "gradient":
        red, green = np.broadcast_arrays(255 * columns // max(width - 1, 1), 255 * rows // max(height - 1, 1))
        return np.stack([red, green, 255 - (red + green) // 2], 2).astype(np.uint8)
    if name == "checker":
        colours = np.array([(224, 32, 96), (16, 160, 240)], np.uint8)
        return colours.take((columns // 8 + rows // 8) % 2, axis=0)
    if name == "noise":
        mixed = mix(np.arange(1, height * width * 3 + 1, dtype=np.uint32))
        return (mixed >> 24).astype(np.uint8).reshape(height, width, 3)
    raise ImageError(f"The pattern {name!r} is not known.", f"Use one of {', '.join(PATTERNS)}.")


def mix(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Numbers that look random, in place: the finalizer of MurmurHash3 (Appleby 2011).

    On unsigned 32-bit numbers with wrap-around: h ^= h >> 16; h *= 0x85EBCA6B; h ^= h >> 13; h *= 0xC2B2AE35;
    h ^= h >> 16.
    """
    numbers ^= numbers >> 16
    numbers *= np.uint32(0x85EBCA6B)
    numbers ^= numbers >> 13
    numbers *= np.uint32(0xC2B2AE35)
    numbers ^= numbers >> 16
    return numbers


def _check_image(image: Pixels, channels: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in channels or 0 in image.shape:
        wanted = " or ".join(map(str, channels))
        raise ImageError(f"Expected an image of shape [height, width, {wanted}] and dtype uint8, "
                         f"got {image.shape} and {image.dtype}.")


def _check_work(height: int, width: int) -> None:
    if height * width > MAX_WORK_PIXELS:
        raise ImageError(f"Preparing the image would need {width}×{height} pixels on the way; that is too many.",
                         "Crop it first, or leave it out.")


def _offset(outer: int, inner: int, rounding: str) -> int:
    """Where a region starts to be centred. Negative for a canvas around the image, which is placed by the same rule."""
    spare = abs(outer - inner)
    offset = (spare + 1) // 2 if rounding == "round" else spare // 2
    return offset if outer >= inner else -offset


def _crop(image: Pixels, spec: ModelSpec) -> Pixels:
    height, width = image.shape[:2]
    box = crop_box(height, width, spec)
    if spec.preprocess.crop.mode != "pad":
        return image[box.top:box.top + box.height, box.left:box.left + box.width]
    if (box.height, box.width) == (height, width):
        return image
    _check_work(box.height, box.width)
    canvas = np.empty((box.height, box.width, 3), np.uint8)
    canvas[0] = spec.preprocess.crop.fill
    canvas[1:] = canvas[0]
    canvas[-box.top:height - box.top, -box.left:width - box.left] = image
    return canvas


def _gray(image: Pixels) -> Pixels:
    """[H, W, 3] to [H, W, 1] with Pillow's L: (19595·R + 38470·G + 7471·B + 32768) >> 16."""
    if image.strides[2] == 0:  # one channel seen three times, which this leaves as it is
        return image[:, :, :1]
    return np.asarray(Image.fromarray(image).convert("L"))[:, :, None]


def _resize_antialiased(image: Pixels, height: int, width: int, kernel: Image.Resampling) -> Pixels:
    _check_work(image.shape[0], width)
    if max(image.shape) > MAX_SIDE:
        raise ImageError(f"The image has {image.shape[1]}×{image.shape[0]} pixels; a side of more than {MAX_SIDE:,} is "
                         "not resized.", "Crop it first, or leave it out.")
    picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
    for size in ((width, picture.height), (width, height)):
        if picture.size != size:
            picture = picture.resize(size, kernel)
    return np.asarray(picture).reshape(height, width, image.shape[2])


def _resize_bilinear(image: Pixels, height: int, width: int) -> Pixels:
    starts, weights = taps(image.shape[0], height, "bilinear")
    # The first pass has to work only on the rows that the second one reads.
    rows = np.unique(np.minimum(starts[:, None] + np.arange(weights.shape[1]), image.shape[0] - 1))
    narrow = apply_taps(image[rows], *taps(image.shape[1], width, "bilinear"), axis=1)
    return apply_taps(narrow, np.searchsorted(rows, starts), weights, axis=0)


def _nearest(size_in: int, size_out: int) -> NDArray[np.intp]:
    return (2 * np.arange(size_out, dtype=np.intp) + 1) * size_in // (2 * size_out)


def _bicubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.5
    near = ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0
    far = (((distance - 5.0) * distance + 8.0) * distance - 4.0) * a
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


def _plane(buffer: Pixels, name: str, height: int, width: int, row_stride: int, pixel_stride: int) -> Pixels:
    """A view [height, width] of a flat camera plane, bounds-checked."""
    row_bytes = (width - 1) * pixel_stride + 1
    if pixel_stride < 1 or row_stride < row_bytes:
        raise ImageError(f"The camera frame's {name} plane has impossible strides ({row_stride}, {pixel_stride}).")
    needed = (height - 1) * row_stride + row_bytes
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(buffer) < needed:
        raise ImageError(f"The camera's {name} plane needs {needed} flat bytes, not {buffer.shape} {buffer.dtype}.")
    return np.ndarray((height, width), np.uint8, np.ascontiguousarray(buffer), strides=(row_stride, pixel_stride))


@functools.lru_cache(maxsize=64)
def _tables(mean: tuple[float, ...], std: tuple[float, ...], dtype: str,
            quantization: Quantization | None) -> NDArray[Any] | None:
    """What each byte becomes: [channels, 256] of the dtype, or [1, 256] where all channels are treated alike.

    None where every byte stays as it is.
    """
    real = (np.arange(256.0) - np.array(mean)[:, None]) / np.array(std)[:, None]
    if quantization is not None:
        limits = np.iinfo(dtype)
        steps = np.floor(real / quantization.scale + quantization.zero_point + 0.5)
        real = steps.clip(limits.min, limits.max)
    tables: NDArray[Any] = real.astype(dtype)
    if tables.dtype == np.uint8 and (tables == np.arange(256)).all():
        return None
    tables.flags.writeable = False
    return tables[:1] if (tables == tables[0]).all() else tables
