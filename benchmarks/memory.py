"""The memory of `edgekit validate` does not grow with the number of images."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks import models
from benchmarks.measure import EDGEKIT, Figure, run, say

FEW, MANY = 500, 10_000
JPEG_SIDE = 256


def measure(work: Path) -> list[Figure]:
    """Peak resident memory for 10,000 images less that for 500: of JPEG files, and of arrays."""
    source, images = models.mobilenet(work), models.photos(work, FEW)
    reference = models.converted(source, "none", "tflite", images)
    candidate = models.converted(source, "int8", "tflite", images)
    figures = []
    for kind, make in (("JPEG files", _jpegs), (".npz", models.photos)):
        say(f"  {kind}")
        peaks = []
        for count in (FEW, MANY):
            data = make(work, count)
            # The weights are random: the verdict means nothing and must not stop this.
            found = run(*EDGEKIT, "validate", reference, candidate, "--data", data, "--max-drop", "100")
            peaks.append(found.peak / 1e6)
        few, many = peaks
        figures.append(Figure(f"validate {MANY:,} images, {kind}: memory above that for {FEW}", 60, many - few, " MB",
                              detail=f"{few:.0f} → {many:.0f} MB"))
    return figures


def _jpegs(work: Path, count: int) -> Path:
    """A folder with a folder of JPEG files for each class."""
    folder = work / f"jpegs{count}"
    for label in range(models.CLASSES):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = Image.fromarray(models.photo(number, JPEG_SIDE))
        image.save(folder / str(number % models.CLASSES) / f"{number}.jpg", quality=90)
    return folder
