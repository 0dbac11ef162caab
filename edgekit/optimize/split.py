"""Three parts of the data, so that nothing is reported on images that something was tuned on."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset
from edgekit.data.splits import distinct_images, stratified_sample, stratified_split
from edgekit.runtime.spec import printable

SHARES = {"calibration": 0.25, "selection": 0.35, "final": 0.4}
MOST = {"calibration": 200, "selection": 1000}  # images; what is above goes to the final part, which proves more then
LEAST = 10  # distinct images, of which two at least calibrate
FEW = 50  # images to choose by; with fewer, one of them decides


@dataclass(frozen=True)
class Parts:
    """Ranges are measured on `calibration`, candidates chosen by `selection`, and the winner judged on `final`.

    No two images are the same, in one part or across them. `notes` say what that took, and what few images mean.
    """

    calibration: Dataset
    selection: Dataset
    final: Dataset
    notes: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of images by part."""
        return {"calibration": len(self.calibration), "selection": len(self.selection), "final": len(self.final)}


def split(data: Dataset, seed: int) -> Parts:
    """Split by content: 25 % (at most 200 images) calibrate, 35 % (at most 1,000) choose, and the rest judges.

    Each class is split alike. Where classes are too small for that, images are split without regard to them.

    Raises:
        DataError: there are too few distinct images.
        ImageError: an image cannot be read.
    """
    distinct = data.subset(stratified_sample(data, len(data), seed))
    count = len(distinct)
    if count < LEAST:
        raise DataError(
            f"{printable(str(data.source))} has {count} distinct image{'' if count == 1 else 's'}, and a search needs "
            f"{LEAST} or more: it calibrates on some, chooses by others, and judges on the rest.",
            "Some hundred images like those that the device will see are a good start.",
        )
    notes = []
    if copies := len(data) - count:
        notes.append(f"{copies} of the {len(data)} images are copies of others and were left out")
    shares = {part: min(share, MOST.get(part, count) / count) for part, share in SHARES.items()}
    shares["final"] = 1 - shares["calibration"] - shares["selection"]
    parts = stratified_split(distinct, list(shares.values()), seed)
    for place, most in enumerate(MOST.values()):  # classes of few images give more than their share
        sample = stratified_sample(distinct.subset(parts[place]), most, seed)
        kept = [parts[place][index] for index in sample]
        parts[2], parts[place] = sorted({*parts[2], *parts[place]} - set(kept)), kept
    if any(len(part) < share * count / 2 for part, share in zip(parts, shares.values(), strict=True)):
        parts = stratified_split(distinct.unlabelled(), list(shares.values()), seed)
        notes.append("the classes are too small to be split one by one, so images were split without regard to them")
    elif data.labels is not None and 0 in (counts := distinct_images(distinct)):
        notes.append(f"the data has no image of {counts.count(0)} of its {len(counts)} classes")
    if len(parts[1]) < FEW:
        notes.append(
            f"candidates are chosen by {len(parts[1])} images only, of which each counts for "
            f"{100 / len(parts[1]):.2g} points"
        )
    calibration, selection, final = map(distinct.subset, parts)
    return Parts(calibration, selection, final, tuple(notes))
