from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.runtime.errors import ImageError, RuntimeMissingError, SourceError
from edgekit.runtime.pi.picamera import PiCamera
from edgekit.runtime.pi.pictures import Picture
from edgekit.runtime.pi.sources import ImageFiles, VideoSource, open_source
from tests import models
from tests.conftest import Needs

RED, BLUE = models.colour(250, 0, 0, 48), models.colour(0, 0, 250, 48)


def no_bad_one(error: ImageError) -> None:
    raise error


def read(text: str | Path, bad: list[ImageError] | None = None) -> list[Picture]:
    source = open_source(str(text), on_bad=(bad if bad is not None else []).append)
    assert not source.live
    return list(source.pictures())


def test_an_image(tmp_path: Path) -> None:
    Image.fromarray(RED).save(tmp_path / "red.bmp")
    [found] = read(tmp_path / "red.bmp")
    assert found.name == "red.bmp"
    np.testing.assert_array_equal(found.pixels, RED)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Image.fromarray(RED).save(tmp_path / "b" / "2.png")
    Image.fromarray(BLUE).save(tmp_path / "10.png")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "10.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "9.png").write_bytes((tmp_path / "10.png").read_bytes()[:50])
    bad: list[ImageError] = []
    assert [found.name for found in read(tmp_path, bad)] == ["10.png", "b/2.png"]
    assert ["9.png" in error.message for error in bad] == [True]


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no images"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["nothing.png", "ftp://host/x", "file:///etc/passwd", ""])
def test_what_is_no_source(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(SourceError):
        read(text)


@pytest.mark.parametrize(("text", "name"), [
    ("0", "/dev/video0"), ("/dev/video7", "/dev/video7"), ("camera", "camera"),
    ("rtsp://user:secret@cam.local/live", "rtsp://cam.local/live"), ("http://cam.local/x.mjpg", "http://cam.local/x.mjpg"),
    ("rtsp://user:se/cr@et@cam.local/live", "rtsp://cam.local/live"),
    ("http://cam.local/x.cgi?user=me&pwd=secret#secret", "http://cam.local/x.cgi"),
    ("rtsp://cam.local/#secret", "rtsp://cam.local/"),
    ("rtsp://user:sec?ret@cam.local/live", "rtsp://…"), ("http://cam.local/x?user=a@b&pwd=secret", "http://…"),
])
def test_live_sources(text: str, name: str) -> None:
    source = open_source(text, on_bad=no_bad_one)
    assert isinstance(source, VideoSource)
    assert (source.live, source.name) == (True, name)


def test_the_pi_camera_by_name() -> None:
    source = open_source("picamera2:1", on_bad=no_bad_one)
    assert isinstance(source, PiCamera)
    assert source.name == "picamera2:1"
    assert isinstance(open_source(".", on_bad=no_bad_one), ImageFiles)


def write_video(path: Path, count: int = 12) -> Path:
    """A video of red frames, and then blue ones."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 48))
    assert writer.isOpened()
    for number in range(count):
        writer.write((RED if number < count // 2 else BLUE)[:, :, ::-1])
    writer.release()
    return path


def test_a_video(tmp_path: Path, needs: Needs) -> None:
    needs.module("cv2")
    found = read(write_video(tmp_path / "100%d.avi"))  # OpenCV takes a % for a pattern of file names elsewhere
    assert len(found) == 12
    np.testing.assert_allclose(found[0].pixels, RED, atol=12)  # RGB; JPEG loses a little
    np.testing.assert_allclose(found[-1].pixels, BLUE, atol=12)


def test_what_is_no_video(tmp_path: Path, needs: Needs) -> None:
    needs.module("cv2")
    (tmp_path / "film.mp4").write_bytes(b"nothing like it" * 100)
    with pytest.raises(SourceError, match=r"film\.mp4 cannot be opened"):
        read(tmp_path / "film.mp4")


def test_a_camera_that_is_not_there(needs: Needs) -> None:
    needs.module("cv2")
    with pytest.raises(SourceError, match="/dev/video97 cannot be opened"):
        next(open_source("/dev/video97", on_bad=no_bad_one).pictures())


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(RuntimeMissingError, match="needs OpenCV") as caught:
        next(open_source("/dev/video0", on_bad=no_bad_one).pictures())
    assert "python3-opencv" in caught.value.hint


class MjpegServer:
    """A camera in the network: an MJPEG stream of a few frames by HTTP, which then ends."""

    def __init__(self, frames: int) -> None:
        import io

        stream = io.BytesIO()
        Image.fromarray(BLUE).save(stream, "JPEG", quality=95)
        part = (b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % stream.tell()
                + stream.getvalue() + b"\r\n")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
                self.end_headers()
                for _ in range(frames):
                    self.wfile.write(part)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/stream.mjpg"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def network_camera() -> Iterator[MjpegServer]:
    server = MjpegServer(frames=30)
    yield server
    server.close()


def test_an_mjpeg_stream(network_camera: MjpegServer, needs: Needs) -> None:
    needs.module("cv2")
    found: list[Picture] = []
    with pytest.raises(SourceError, match="gives no more frames"):
        found.extend(open_source(network_camera.url, on_bad=no_bad_one).pictures())
    assert len(found) > 5
    np.testing.assert_allclose(found[0].pixels, BLUE, atol=12)
