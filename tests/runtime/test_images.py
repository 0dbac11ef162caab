"""Image files of every kind, good, odd, broken and hostile."""

import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.runtime.errors import ImageError
from edgekit.runtime.images import MAX_PIXELS, _has_transparency, decode, dimensions, is_image
from edgekit.runtime.preprocess import pattern

PIXELS = pattern("gradient", 24, 40)


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, depth, colour_type, rows, *chunks):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def exif(orientation, order="<", more=b""):
    """EXIF data with the orientation, and an entry count that promises what `more` holds."""
    entries = 2 if more else 1
    return (b"Exif\0\0" + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, entries)
            + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0) + (more or b"\0\0\0\0"))


PHOTO = Image.fromarray(PIXELS)


# Formats

@pytest.mark.parametrize(("file_format", "options"), [
    ("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True, "exact": True}),
])
def test_lossless_formats_give_the_exact_pixels(tmp_path, file_format, options):
    path = tmp_path / "image"
    path.write_bytes(encoded(PHOTO, file_format, **options))
    result = decode(path)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, PIXELS)
    np.testing.assert_array_equal(decode(path.read_bytes()), PIXELS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg(options):
    assert np.abs(decode(encoded(PHOTO, "JPEG", quality=95, **options)).astype(int) - PIXELS).mean() < 3


def test_the_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(PHOTO, "PNG"))
    np.testing.assert_array_equal(decode(path), PIXELS)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(file_format):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    np.testing.assert_array_equal(decode(data), np.full((8, 12, 3), (255, 0, 0)))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_grayscale_becomes_rgb(file_format):
    gray = Image.fromarray(np.full((8, 8), 77, np.uint8))
    result = decode(encoded(gray, file_format, **({"lossless": True} if file_format == "WEBP" else {})))
    assert result.shape == (8, 8, 3)
    assert (result == 77).all()


def test_cmyk_and_ycck_jpeg():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = encoded(cmyk, "JPEG", quality=100)
    assert np.abs(decode(data).astype(int) - (255, 0, 0)).max() <= 2
    # The Adobe marker says how the four channels are coded: 0 is CMYK, 2 is YCCK.
    marker = b"Adobe" + bytes([0, 100, 0, 0, 0, 0])
    assert marker + b"\x00" in data
    ycck = decode(data.replace(marker + b"\x00", marker + b"\x02"))
    assert np.abs(ycck.astype(int) - (180, 0, 227)).max() <= 2


def test_16_bit_grayscale_is_scaled_and_not_clipped():
    rows = b"\0" + struct.pack(">4H", 0x00FF, 0x1234, 0xFE01, 0xFFFF)
    assert decode(png(4, 1, 16, 0, rows))[0, :, 0].tolist() == [0x00, 0x12, 0xFE, 0xFF]
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    result = decode(encoded(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(result, (values >> 8).astype(np.uint8)[:, :, None].repeat(3, axis=2))


def test_16_bit_colour_and_alpha():
    colour = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0x00FF, 0x80FF, 0xFFFF)
    assert decode(png(2, 1, 16, 2, colour)).tolist() == [[[0x12, 0x56, 0x9A], [0x00, 0x80, 0xFF]]]
    assert decode(png(1, 1, 16, 4, b"\0" + struct.pack(">2H", 0x1234, 0x0000))).tolist() == [[[255, 255, 255]]]


def test_fewer_bits_than_eight():
    assert decode(png(8, 1, 1, 0, b"\0\x55"))[0, :, 1].tolist() == [0, 255] * 4
    assert decode(png(4, 1, 4, 0, b"\0\x0f\x5a"))[0, :, 2].tolist() == [0, 255, 85, 170]
    palette = chunk(b"PLTE", bytes([1, 2, 3, 40, 50, 60, 7, 8, 9]))
    assert decode(png(3, 1, 2, 3, b"\0\x18", palette))[0].tolist() == [[1, 2, 3], [40, 50, 60], [7, 8, 9]]


def test_transparency_is_composited_over_white():
    rgba = np.concatenate([PIXELS, pattern("noise", 24, 40)[:, :, :1]], axis=2)
    alpha = rgba[:, :, 3:].astype(float) / 255
    expected = np.floor(PIXELS * alpha + 255 * (1 - alpha) + 0.5)
    image = Image.fromarray(rgba)
    for data in (encoded(image, "PNG"), encoded(image, "WEBP", lossless=True, exact=True)):
        assert np.abs(decode(data) - expected).max() <= 1
    gray_alpha = b"\0" + bytes([0, 0, 0, 255, 100, 255])
    assert decode(png(3, 1, 8, 4, gray_alpha))[0, :, 0].tolist() == [255, 0, 100]


def test_transparent_colours_of_palettes_and_colour_keys():
    palette, opacity = chunk(b"PLTE", bytes(range(12))), chunk(b"tRNS", b"\xff\x00")
    assert decode(png(3, 1, 8, 3, b"\0\0\1\2", palette, opacity))[0].tolist() == [[0, 1, 2], [255] * 3, [6, 7, 8]]
    key = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    assert decode(png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", key))[0].tolist() == [[255] * 3, [4, 5, 6]]
    one_bit = chunk(b"tRNS", struct.pack(">H", 0))
    assert (decode(png(8, 1, 1, 0, b"\0\x55", one_bit)) == 255).all()
    gif = Image.new("P", (4, 4), 1)
    gif.putpalette(bytes([9, 9, 9, 200, 0, 0]))
    assert (decode(encoded(gif, "GIF", transparency=1)) == 255).all()
    assert (decode(encoded(gif, "GIF")) == (200, 0, 0)).all()


# Orientation

UPRIGHT = {
    1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 4: PIXELS[::-1], 5: PIXELS.transpose(1, 0, 2),
    6: np.rot90(PIXELS, -1), 7: PIXELS[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(PIXELS, 1),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tag", UPRIGHT)
def test_exif_orientation_is_applied(tag, order):
    data = encoded(PHOTO, "PNG", exif=exif(tag, order))
    np.testing.assert_array_equal(decode(data), UPRIGHT[tag])
    np.testing.assert_array_equal(decode(data, orientation="ignore"), PIXELS)


def test_exif_orientation_of_jpeg_and_webp():
    jpeg = encoded(PHOTO, "JPEG", quality=95, exif=exif(6))
    np.testing.assert_array_equal(decode(jpeg), np.rot90(decode(jpeg, orientation="ignore"), -1))
    webp = encoded(PHOTO, "WEBP", lossless=True, exact=True, exif=exif(8))
    np.testing.assert_array_equal(decode(webp), np.rot90(PIXELS, 1))


BROKEN_EXIF = [
    exif(0), exif(9), exif(65535), exif(1, more=b"\x1a\x01\x05\0\xff\xff\xff\xff\xff\xff\xff\x7f"), b"Exif\0\0",
    b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0garbage, not TIFF", b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
]


@pytest.mark.filterwarnings("ignore")  # pytest removes the filter of edgekit.runtime.images
@pytest.mark.parametrize("broken", BROKEN_EXIF)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_broken_exif_data_is_ignored(broken, file_format):
    data = encoded(PHOTO, file_format, exif=broken)
    np.testing.assert_array_equal(decode(data), decode(data, orientation="ignore"))


def test_an_unknown_orientation_is_refused():
    with pytest.raises(ImageError, match="upright"):
        decode(encoded(PHOTO, "PNG"), orientation="upright")


def test_nothing_is_printed_about_broken_exif_data(tmp_path):
    truncated = exif(6, more=b"\x1a\x01")
    (tmp_path / "photo.jpg").write_bytes(encoded(PHOTO, "JPEG", exif=truncated, dpi=(0, 0)))
    code = ("import sys; from pathlib import Path; from edgekit.runtime.images import decode;"
            "print(decode(Path(sys.argv[1])).shape)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "photo.jpg")], capture_output=True, text=True,
                          check=True, env=os.environ | {"PYTHONPATH": str(Path(edgekit.__file__).parents[1])})
    assert (done.stdout, done.stderr) == ("(40, 24, 3)\n", "")


# Files that are no good

def test_files_that_are_not_there_are_empty_or_folders(tmp_path):
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for name, complaint in (("missing.png", "cannot be read: No such file"), ("empty.png", "is empty"),
                            ("", "is a folder"), ("pipe.png", "is a device or pipe"),
                            ("a\0b.png", "cannot be read: .*null"), ("x" * 300, "cannot be read: File name too long")):
        with pytest.raises(ImageError, match=complaint) as caught:
            decode(tmp_path / name)
        assert (name.split("\0")[0][:200] or tmp_path.name) in caught.value.message
    with pytest.raises(ImageError, match="The image is empty"):
        decode(b"")


def test_control_characters_in_names_do_not_reach_the_message(tmp_path):
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / "red\x1b[31m.png")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("data", [
    b"a text file", b"%PDF-1.7", b"II*\0\x08\0\0\0", b"RIFF\x24\0\0\0WAVEfmt ", b"8BPS\0\1", b"P6 1 1 255 abc",
    b"<svg/>", b"\0\0\0\x18ftypheic",
])
def test_other_formats_are_not_tried(data):
    with pytest.raises(ImageError, match="not an image in one of the formats JPEG, PNG, BMP, WebP, GIF"):
        decode(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_truncated_files_are_refused_wherever_they_end(file_format, tmp_path):
    data = encoded(Image.fromarray(pattern("noise", 40, 40)), file_format)
    for length in (16, 20, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        path = tmp_path / f"cut.{length}"
        path.write_bytes(data[:length])
        with pytest.raises(ImageError, match=rf"cut\.{length} is damaged: .+\."):
            decode(path)


@pytest.mark.filterwarnings("ignore")  # pytest removes the filter of edgekit.runtime.images
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_mutated_files_give_pixels_or_an_image_error(file_format):
    random = np.random.default_rng(11)
    good = np.frombuffer(encoded(PHOTO, file_format, exif=exif(6)), np.uint8)
    refused = 0
    for _ in range(150):
        bad = good.copy()
        bad[random.integers(0, min(len(bad), 300), 3)] = random.integers(0, 256, 3)
        try:
            result = decode(bad.tobytes(), max_pixels=1 << 20)
        except ImageError:
            refused += 1
        else:
            assert result.dtype == np.uint8
            assert result.shape[2] == 3
    assert refused > 10


# Large images

def header_bomb(file_format, width, height):
    if file_format == "PNG":
        return png(width, height, 8, 2, b"")
    if file_format == "BMP":
        return b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    options = {"lossless": True} if file_format == "WEBP" else {}
    tiny = encoded(Image.new("RGB", (8, 8)), file_format, **options)
    if file_format == "WEBP":  # VP8L: 14 bits of width − 1, 14 bits of height − 1
        return tiny[:21] + struct.pack("<I", (height - 1) << 14 | (width - 1)) + tiny[25:]
    sides = {"GIF": lambda *size: struct.pack("<HH", *size), "JPEG": lambda *size: struct.pack(">HH", *size[::-1])}
    return tiny.replace(sides[file_format](8, 8), sides[file_format](width, height), 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("file_format", "width", "height"), [
    ("PNG", 60000, 60000), ("PNG", 10000, 10000), ("PNG", 8193, 8192), ("JPEG", 60000, 60000), ("JPEG", 10000, 10000),
    ("BMP", 60000, 60000), ("GIF", 60000, 60000), ("GIF", 10000, 10000), ("WEBP", 16000, 16000), ("WEBP", 10000, 10000),
])
def test_a_header_that_claims_too_many_pixels_is_refused(file_format, width, height):
    with pytest.raises(ImageError, match=r"at most 67,108,864") as caught:
        decode(header_bomb(file_format, width, height))
    assert f"{width}×{height} pixels" in caught.value.message or file_format == "WEBP"


def test_a_gif_frame_outside_its_screen_counts():
    data = encoded(Image.new("P", (8, 8)), "GIF")
    frame = data.rindex(b",\0\0\0\0" + struct.pack("<HH", 8, 8))
    with pytest.raises(ImageError, match="at most 67,108,864"):
        decode(data[:frame + 5] + struct.pack("<HH", 60000, 60000) + data[frame + 9:])


def test_a_file_too_large_to_be_read_is_refused(tmp_path):
    with (tmp_path / "sparse.bmp").open("wb") as file:
        file.truncate((512 << 20) + 1)
    with pytest.raises(ImageError, match=r"sparse\.bmp is larger than 512 MB"):
        decode(tmp_path / "sparse.bmp")


def test_photos_of_50_megapixels_pass_the_limit():
    assert 8160 * 6120 <= MAX_PIXELS < 100_000_000
    data = encoded(Image.new("1", (8160, 6120)), "PNG")
    assert decode(data).shape == (6120, 8160, 3)


def test_the_limit_can_be_set():
    data = encoded(PHOTO, "PNG")
    assert decode(data, max_pixels=24 * 40).shape == (24, 40, 3)
    with pytest.raises(ImageError, match="40×24 pixels; at most 959"):
        decode(data, max_pixels=24 * 40 - 1)


def scanned(repeated, more=b""):
    """A progressive JPEG whose last scan comes so many more times."""
    data = encoded(Image.fromarray(pattern("noise", 400, 400)), "JPEG", progressive=True)
    begin, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:2] + more + data[2:end] + data[begin:begin + 12] * repeated + data[end:]


def test_a_jpeg_whose_scans_would_take_minutes_is_refused():
    begin = time.perf_counter()
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode(scanned(300_000))
    assert time.perf_counter() - begin < 1
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode(scanned(100, more=b"\xff\xe1\0\4\xff\xd9"))  # a segment that holds what looks like the end


def test_only_the_scans_of_the_image_itself_count():
    photo = scanned(0)
    assert decode(scanned(50)).shape == (400, 400, 3)
    preview = b"\xff\xe2" + struct.pack(">H", 2002) + b"\xff\xda" * 1000
    for data in (scanned(0, more=preview), photo + b"\xff\xda\0\2" * 1000):  # as of phones that add a film
        np.testing.assert_array_equal(decode(data), decode(photo))


# What a header says


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WebP", "GIF"])
def test_the_header_tells_width_and_height(file_format):
    data = encoded(PHOTO, file_format)
    assert is_image(data)
    assert dimensions(data) == (40, 24)


def test_a_bomb_s_header_can_be_read():
    assert dimensions(png(60_000, 50_000, 8, 2, b"")) == (60_000, 50_000)


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"II*\0" + b"\0" * 100])
def test_what_is_no_image_has_no_dimensions(data):
    assert not is_image(data)
    with pytest.raises(ImageError):
        dimensions(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "WebP", "GIF"])
def test_damaged_headers_give_dimensions_or_an_image_error(file_format):
    data, random = encoded(PHOTO, file_format), np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(data[: random.integers(4, len(data))])
        damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            width, height = dimensions(bytes(damaged))
        except ImageError:
            continue
        assert width >= 0
        assert height >= 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK"])
@pytest.mark.parametrize("info", [{}, {"transparency": 3}])
def test_transparency_is_seen_as_pillow_sees_it(mode, info):
    image = Image.new(mode, (2, 2))
    image.info.update(info)
    assert _has_transparency(image) == image.has_transparency_data


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "WebP", "GIF"])
def test_images_are_told_from_other_files(file_format):
    assert is_image(encoded(PHOTO, file_format)[:16])
    assert not is_image(b"RIFF\0\0\0\0AVI LIST")
    assert not is_image(b"")
