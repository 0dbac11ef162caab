"""Where frames come from: image files, folders of them, videos, V4L2 cameras and streams.

The Pi's own camera is in `picamera.py`. Everything but image files is read by OpenCV, which is imported when it is
needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from edgekit.runtime import images
from edgekit.runtime.errors import ImageError, RuntimeMissingError, SourceError
from edgekit.runtime.pi.picamera import PiCamera
from edgekit.runtime.pi.pictures import CAMERA_SIZE, Picture, Source
from edgekit.runtime.spec import printable

STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")
_OPEN_SECONDS = 10  # to connect to a stream, and to wait for its next frame


def open_source(text: str, *, orientation: str = "exif", on_bad: Callable[[ImageError], None]) -> Source:
    """The source that the user named. Nothing is opened yet, but what cannot be one is refused.

    Args:
        text: `camera` (the Pi's camera where there is one, else the first V4L2 camera), `picamera2` or `picamera2:N`,
            the number or path of a V4L2 camera, a URL, an image file, a folder of images, or a video file.
        orientation: of image files, as in `edgekit.runtime.images.decode`.
        on_bad: is told of image files that cannot be read; the others of their folder go on.

    Raises:
        SourceError: it is none of these.
    """
    if text == "camera":
        return PiCamera(0) if PiCamera.present() else VideoSource(0, "camera", live=True)
    if match := re.fullmatch(r"picamera2(?::(\d{1,2}))?", text):
        return PiCamera(int(match[1] or 0))
    if re.fullmatch(r"\d{1,2}", text):
        return VideoSource(int(text), f"/dev/video{text}", live=True)
    if match := re.match(r"([a-z][a-z0-9+.-]*)://", text, re.IGNORECASE):
        if match[1].lower() not in STREAM_SCHEMES:
            raise SourceError(f"Streams of the kind {printable(match[1])[:20]} are not read.",
                              f"Use one of {', '.join(STREAM_SCHEMES)}.")
        return VideoSource(text, _without_password(text), live=True)
    path = Path(text).absolute()
    if text.startswith("/dev/"):  # which may appear later
        return VideoSource(str(path), printable(text), live=True)
    if path.is_dir():
        return ImageFiles(path, orientation, on_bad)
    if not path.is_file():
        raise SourceError(f"There is no image, folder, video or camera at {printable(text)}.",
                          "Name one of these, or a URL; `camera` is the camera.")
    with path.open("rb") as stream:
        if images.is_image(stream.read(16)):
            return ImageFiles(path, orientation, on_bad)
    return VideoSource(str(path), printable(path.name), live=False)


class ImageFiles:
    """One image file, or those of a folder and its subfolders, sorted by path."""

    live = False

    def __init__(self, path: Path, orientation: str, on_bad: Callable[[ImageError], None]) -> None:
        self.name = printable(path.name)
        self._path, self._orientation, self._on_bad = path, orientation, on_bad

    def pictures(self) -> Generator[Picture]:
        """See Source. Files that do not look like images are passed over, hidden ones as well."""
        if self._path.is_file():
            yield Picture(self.name, images.decode(self._path, orientation=self._orientation))
            return
        found = 0
        for path in _image_files(self._path):
            found += 1
            try:
                pixels = images.decode(path, orientation=self._orientation)
            except ImageError as error:
                self._on_bad(error)
                continue
            yield Picture(printable(path.relative_to(self._path).as_posix()), pixels)
        if not found:
            raise SourceError(f"The folder {self.name} has no images.",
                              f"Formats that are read: {', '.join(images.FORMATS)}.")


class VideoSource:
    """A video file, a V4L2 camera or a stream, read by OpenCV.

    Args:
        address: the number of a camera, the path of one or of a file, or a URL.
        name: what it is called in answers and messages.
    """

    def __init__(self, address: int | str, name: str, *, live: bool) -> None:
        self.name, self.live = name, live
        self._address = address

    def pictures(self) -> Generator[Picture]:
        """See Source."""
        cv2 = _opencv(self.name)
        capture = self._open(cv2)
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.name} cannot be opened.", "Is it there, and free? Is it a video that OpenCV "
                                  "knows?")
            frames = 0
            while True:
                good, frame = capture.read()
                if not good:
                    break
                frames += 1
                yield Picture(self.name, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            if self.live or not frames:
                raise SourceError(f"{self.name} gives no {'more ' if frames else ''}frames.")
        except cv2.error as error:
            raise SourceError(f"{self.name} fails: {printable(str(error))[:200]}") from error
        finally:
            capture.release()

    def _open(self, cv2: Any) -> Any:
        if isinstance(self._address, int) or self._address.startswith("/dev/"):
            capture = cv2.VideoCapture(self._address, cv2.CAP_V4L2)
            for setting, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), CAMERA_SIZE, strict=True):
                capture.set(setting, value)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits in the driver is old
            return capture
        # FFmpeg by name: other back ends take a % in a path for a pattern of file names.
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_SECONDS * 1000, cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                  _OPEN_SECONDS * 1000)
        return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, list(limits) if self.live else [])


def _image_files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if name.startswith(".") or not path.is_file():
                continue
            try:
                with path.open("rb") as stream:
                    if images.is_image(stream.read(16)):
                        yield path
            except OSError:
                continue


def _without_password(url: str) -> str:
    """A URL as answers and messages name it: without what stands before its host, and without its query."""
    scheme, _, rest = url.partition("://")
    address, *query = re.split("[?#]", rest, maxsplit=1)
    if "@" in "".join(query):  # of a password with a question mark, or of a query with an @: nobody can tell
        return f"{scheme}://…"
    return printable(f"{scheme}://{address.rpartition('@')[2]}")


def _opencv(name: str) -> Any:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: what fails is said by edgekit
    try:
        import cv2
    except ImportError as error:
        raise RuntimeMissingError(
            f"Reading {name} needs OpenCV, which is not installed.",
            "On a Raspberry Pi: sudo apt install python3-opencv; elsewhere: pip install opencv-python-headless",
        ) from error
    return cv2


