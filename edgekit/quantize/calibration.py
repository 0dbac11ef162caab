"""The representative dataset: choosing it, preparing it, and refusing one that cannot be right."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset
from edgekit.data.labels import align
from edgekit.data.splits import stratified_sample
from edgekit.data.stream import BadImages, map_images
from edgekit.quantize.evidence import copies, values
from edgekit.quantize.evidence.finding import REFUSAL, Finding
from edgekit.runtime import preprocess
from edgekit.runtime.spec import ModelSpec, printable


@dataclass(frozen=True)
class Calibration:
    """What the model sees of the representative dataset.

    `pixels` is uint8 [N, height, width, channels] in the model's channel order; `images` are the images they were
    made of, in the same order. `findings` is what their pixels say.
    """

    pixels: NDArray[np.uint8]
    images: Dataset
    sha256: str
    findings: tuple[Finding, ...] = ()

    @property
    def names(self) -> list[str]:
        """What to call the images."""
        return [self.images.name(index) for index in range(len(self.images))]

    def truth(self, spec: ModelSpec) -> NDArray[np.int64] | None:
        """The class of each image, int64 [N], an index into the spec's labels; None without labels.

        Raises:
            DataError: the model does not know one of the classes.
        """
        if self.images.labels is None:
            return None
        index_of = align(self.images.labels, spec.labels, str(self.images.source), "the model")
        return np.asarray(index_of, np.int64)[self.images.targets()]


def choose(data: Dataset, spec: ModelSpec, samples: int, seed: int, bad: BadImages) -> Calibration:
    """Take `samples` images evenly over the classes, different from each other, and prepare them for the model.

    Raises:
        DataError: the images cannot calibrate a model; see `edgekit.quantize.evidence`. Or too many of them cannot be
            read.
    """
    chosen = gather(data, spec, samples, seed, bad)
    require_fit(chosen.findings)
    return chosen


def gather(data: Dataset, spec: ModelSpec, samples: int, seed: int, bad: BadImages) -> Calibration:
    """As `choose` does, but images that cannot calibrate a model are only found to be such.

    Raises:
        DataError: too many of the images cannot be read.
    """
    sample = data.subset(stratified_sample(data, samples, seed))
    prepared = map_images(
        lambda image: (preprocess.pixels(image, spec), values.traits(image)),
        sample,
        bad,
        orientation=spec.preprocess.orientation,
    )
    kept, seen = zip(*prepared, strict=True)
    pixels, traits = np.stack([one for one, _ in seen]), [one for _, one in seen]
    images, source = sample.subset(kept), printable(str(data.source))
    found = Calibration(pixels, images, hashlib.sha256(pixels.tobytes()).hexdigest())
    findings = list(values.examine(values.histograms(pixels), traits, found.names, spec, source))
    if not any(one.level == REFUSAL for one in findings):  # empty images are alike for a reason already given
        findings += copies.examine(pixels, found.names, data, source)
    return dataclasses.replace(found, findings=tuple(findings))


def require_fit(findings: Iterable[Finding]) -> None:
    """Refuse what cannot calibrate a model.

    Raises:
        DataError: a finding is a refusal.
    """
    for finding in findings:
        if finding.level == REFUSAL:
            raise DataError(" ".join(part for part in (finding.what, finding.effect) if part), finding.hint)
