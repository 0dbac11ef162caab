"""The Raspberry Pi's own camera, through picamera2.

A thin adapter: it uses only what is named here of picamera2's interface (`Picamera2(number)`, `global_camera_info`,
`create_video_configuration`, `configure`, `start`, `capture_array`, `wait`, `stop`, `close`), and the tests have a fake
of exactly that. picamera2 comes with Raspberry Pi OS (apt), together with libcamera, which no wheel has.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

import numpy as np

from edgekit.runtime.errors import RuntimeMissingError, SourceError
from edgekit.runtime.pi.pictures import CAMERA_SIZE, Picture
from edgekit.runtime.spec import printable

# picamera2's name for bytes in the order R, G, B; it names formats as DRM does, from the highest byte.
_RGB = "BGR888"
_WAIT_SECONDS = 5.0


class PiCamera:
    """The camera of this number, in the order that libcamera lists them."""

    live = True

    def __init__(self, number: int) -> None:
        self.name = f"picamera2:{number}"
        self._number = number

    @staticmethod
    def present() -> bool:
        """Whether picamera2 is installed and sees a camera of the Pi's own."""
        try:
            from picamera2 import Picamera2

            # libcamera lists USB cameras, too, after the Pi's own; they give no RGB, but OpenCV reads them.
            return any("/usb" not in str(camera.get("Id", "")).lower() for camera in Picamera2.global_camera_info())
        except Exception:  # libcamera's own errors have no common base
            return False

    def pictures(self) -> Generator[Picture]:
        """See `edgekit.runtime.pi.pictures.Source`."""
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise RuntimeMissingError(
                "The camera needs picamera2, which is not installed here.",
                "On Raspberry Pi OS: sudo apt install python3-picamera2, then ./install.sh again. "
                "USB cameras work without it: /dev/video0",
            ) from error
        camera = None
        try:
            camera = Picamera2(self._number)
            camera.configure(camera.create_video_configuration(main={"format": _RGB, "size": CAMERA_SIZE}))
            camera.start()
            while True:
                # A job instead of a plain call, which would wait forever for a camera that was unplugged.
                pixels = camera.wait(camera.capture_array("main", wait=False), timeout=_WAIT_SECONDS)
                if pixels.ndim != 3 or pixels.shape[2] != 3:
                    raise SourceError(f"The camera {self.name} gives no RGB pictures.",
                                      "If it is a USB camera, name it by its device: /dev/video0")
                yield Picture(self.name, np.asarray(pixels, np.uint8))
        except SourceError:
            raise
        except Exception as error:  # as above
            reason = printable(str(error))[:200] or type(error).__name__
            raise SourceError(f"The camera {self.name} fails: {reason}",
                              "Is it plugged in, and does no other program use it?") from error
        finally:
            if camera is not None:
                with suppress(Exception):
                    camera.stop()
                with suppress(Exception):
                    camera.close()
