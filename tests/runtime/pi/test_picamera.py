"""The adapter of picamera2 with a fake: no camera and no libcamera is at hand here.

The fake has the part of picamera2 0.3's interface that the adapter uses, with its names of arguments.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from edgekit.runtime.errors import RuntimeMissingError, SourceError
from edgekit.runtime.pi.picamera import PiCamera
from edgekit.runtime.pi.pictures import Picture
from edgekit.runtime.pi.sources import VideoSource, open_source
from tests.runtime.pi.test_sources import no_bad_one


class FakePicamera2:
    """One camera, whose frames say which they are."""

    cameras: ClassVar[list[dict[str, Any]]] = [{"Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Num": 0}]
    shape: ClassVar[tuple[int, ...]] = (480, 640, 3)
    log: ClassVar[list[str]] = []
    fails_after = 3

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return FakePicamera2.cameras

    def __init__(self, camera_num: int = 0) -> None:
        if camera_num >= len(self.cameras):
            raise IndexError("list index out of range")
        self._frames = 0

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        return {"main": main}

    def configure(self, camera_config: dict[str, Any]) -> None:
        self._main = camera_config["main"]
        self.log.append(f"configure {self._main['format']}")

    def start(self) -> None:
        self.log.append("start")

    def capture_array(self, name: str = "main", wait: bool | None = None) -> Callable[[], Any]:
        assert (name, wait) == ("main", False)
        self._frames += 1
        assert self._main["size"] == (640, 480)
        return lambda: np.full(self.shape, (self._frames, 0, 0) if len(self.shape) == 3 else 0, np.uint8)

    def wait(self, job: Callable[[], Any], timeout: float | None = None) -> Any:
        assert timeout is not None
        if self._frames > self.fails_after:
            raise TimeoutError
        return job()

    def stop(self) -> None:
        self.log.append("stop")

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("picamera2")
    module.Picamera2 = FakePicamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(FakePicamera2, "log", [])


def test_frames_are_rgb_and_the_camera_is_released() -> None:
    found: list[Picture] = []
    with pytest.raises(SourceError, match="The camera picamera2:0 fails: TimeoutError") as caught:
        found.extend(PiCamera(0).pictures())
    assert "plugged in" in caught.value.hint
    assert [tuple(picture.pixels[0, 0]) for picture in found] == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    assert found[0].pixels.shape == (480, 640, 3)
    # BGR888 is picamera2's name for bytes in the order R, G, B.
    assert FakePicamera2.log == ["configure BGR888", "start", "stop", "close"]


def test_leaving_early_releases_it() -> None:
    pictures = PiCamera(0).pictures()
    next(pictures)
    pictures.close()
    assert FakePicamera2.log[-2:] == ["stop", "close"]


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="picamera2:1 fails"):
        next(PiCamera(1).pictures())


def test_the_default_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_source("camera", on_bad=no_bad_one), PiCamera)
    monkeypatch.setattr(FakePicamera2, "cameras", [])
    assert open_source("camera", on_bad=no_bad_one).name == "camera"  # a USB camera, then


def test_a_usb_camera_is_left_to_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    webcam = {"Model": "UVC Camera (046d:0825)", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0-046d:0825"}
    own = FakePicamera2.cameras[0]
    monkeypatch.setattr(FakePicamera2, "cameras", [webcam])
    assert isinstance(open_source("camera", on_bad=no_bad_one), VideoSource)
    monkeypatch.setattr(FakePicamera2, "cameras", [own, webcam])
    assert isinstance(open_source("camera", on_bad=no_bad_one), PiCamera)


def test_a_camera_without_rgb_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePicamera2, "shape", (480, 1280))  # of YUYV, or MJPEG's bytes
    with pytest.raises(SourceError, match="The camera picamera2:0 gives no RGB pictures") as caught:
        next(PiCamera(0).pictures())
    assert "/dev/video0" in caught.value.hint
    assert FakePicamera2.log[-2:] == ["stop", "close"]


def test_without_picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    assert not PiCamera.present()
    with pytest.raises(RuntimeMissingError, match="needs picamera2") as caught:
        next(PiCamera(0).pictures())
    assert "apt install python3-picamera2" in caught.value.hint
