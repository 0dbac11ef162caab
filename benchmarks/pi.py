"""The program of a Raspberry Pi bundle, on this machine: preprocessing, the loop around it, its start and its memory.

EfficientNet-Lite0 in int8 on frames of 640×480. What the loop adds is measured against preparing and running alone.
"""

from __future__ import annotations

import statistics
import sys
import tarfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import models
from benchmarks.measure import Figure, in_turns, run, say, seconds
from edgekit.package.pi.bundle import package_pi
from edgekit.runtime.classify import Classifier
from edgekit.runtime.pi.frames import all_frames
from edgekit.runtime.pi.loop import Loop
from edgekit.runtime.pi.outputs import JsonLines
from edgekit.runtime.pi.pictures import CAMERA_SIZE, Picture
from edgekit.runtime.preprocess import crop_box

ROUNDS = 15
FRAMES = 60
STARTS = 7
SIDE = 224  # of EfficientNet-Lite0
CALIBRATION = 40  # photos
VIDEO_FRAMES = 100

Frames = list[NDArray[np.uint8]]


class Memory:
    """A source of frames that are in memory already."""

    name, live = "memory", False

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def pictures(self) -> Generator[Picture]:
        """Give them all, once."""
        for frame in self._frames:
            yield Picture(self.name, frame)


def measure(work: Path) -> list[Figure]:
    """Ratios to the bare parts, in turns with them; the start, the memory and the size of the bundle."""
    model = _model(work)
    width, height = CAMERA_SIZE
    frames = [np.ascontiguousarray(models.photo(number, width)[:height]) for number in range(8)]
    classifier = Classifier(model, threads=1)
    archive = package_pi(model, work / "lite0.tar.gz", name="lite0", ungated=True).path
    with tarfile.open(archive) as opened:
        opened.extractall(work, filter="data")
    program = (sys.executable, "-I", work / "lite0" / "classify")
    Image.fromarray(frames[0]).save(work / "frame.png")
    _write_video(work / "frames.avi", frames)
    size = archive.stat().st_size - model.stat().st_size
    return [
        _preprocessing(classifier, frames),
        _loop(classifier, frames * (FRAMES // len(frames))),
        Figure("classify: start to first answer", 0.6,
               statistics.median(run(*program, work / "frame.png").seconds for _ in range(STARTS)), " s",
               detail=f"median of {STARTS} whole runs on one image"),
        Figure("classify: resident memory", 150, run(*program, work / "frames.avi", "--json").peak / 1e6, " MB",
               detail=f"peak; a video of {VIDEO_FRAMES} frames, OpenCV included"),
        Figure("bundle: larger than its model by", 300, size / 1e3, " KB",
               detail=f"the model alone {model.stat().st_size / 1e6:.2f} MB, packed with it"),
    ]


def _preprocessing(classifier: Classifier, frames: Frames) -> Figure:
    say("  preprocessing")
    height, width = frames[0].shape[:2]
    box = crop_box(height, width, classifier.spec)
    regions = [frame[box.top:box.top + box.height, box.left:box.left + box.width] for frame in frames]

    def ours() -> None:
        for frame in frames:
            classifier.prepare(frame)

    def bare() -> None:
        for region in regions:
            picture = Image.fromarray(region)
            picture = picture.resize((SIDE, picture.height), Image.Resampling.BILINEAR)
            np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    ours_seconds, bare_seconds = in_turns([partial(seconds, ours), partial(seconds, bare)], ROUNDS)
    ratio = statistics.median(a / b for a, b in zip(ours_seconds, bare_seconds, strict=True))
    each = [1e3 * statistics.median(times) / len(frames) for times in (ours_seconds, bare_seconds)]
    return Figure("classify: preprocessing", 1.15, ratio, " ×",
                  detail=f"{each[0]:.2f} ms a frame; two bare Pillow resizes {each[1]:.2f} ms")


def _loop(classifier: Classifier, frames: Frames) -> Figure:
    say("  the loop")

    def ours() -> None:
        with open("/dev/null", "w", encoding="utf-8") as nothing:
            Loop(classifier, [JsonLines(nothing)], smooth=0.5).run(all_frames(Memory(frames)))

    def bare() -> None:
        for frame in frames:
            classifier.scores(classifier.prepare(frame)[None])

    ours_seconds, bare_seconds = in_turns([partial(seconds, ours), partial(seconds, bare)], ROUNDS)
    share = statistics.median(a / b - 1 for a, b in zip(ours_seconds, bare_seconds, strict=True))
    each = [1e3 * statistics.median(times) / len(frames) for times in (ours_seconds, bare_seconds)]
    return Figure("classify: the loop's own cost", 8, 100 * share, " %",
                  detail=f"{each[0]:.2f} ms a frame; preparing and running alone {each[1]:.2f} ms")


def _model(work: Path) -> Path:
    photos = work / f"lite0_photos{CALIBRATION}.npz"
    if not photos.exists():
        np.savez(photos, x=np.stack([models.photo(number, SIDE) for number in range(CALIBRATION)]))
    return models.converted(models.efficientnet(work), "int8", "tflite", photos, samples=CALIBRATION)


def _write_video(path: Path, frames: Frames) -> None:
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, CAMERA_SIZE)
    for number in range(VIDEO_FRAMES):
        writer.write(frames[number % len(frames)][:, :, ::-1])
    writer.release()
