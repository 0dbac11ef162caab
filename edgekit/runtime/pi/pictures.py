"""What gives pictures: the interface of every source."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CAMERA_SIZE = 640, 480  # width, height: what every camera can, and more than most models take


@dataclass(frozen=True)
class Picture:
    """One image of a source: its file's name, or the source's; RGB, uint8 [H, W, 3]."""

    name: str
    pixels: NDArray[np.uint8]


class Source(Protocol):
    """Something that gives pictures.

    `live`: it goes on whether anybody looks or not, and may come back after it has failed; only its latest picture
    counts. Another source ends, and each of its pictures counts.
    """

    name: str
    live: bool

    def pictures(self) -> Generator[Picture]:
        """Open it and give its pictures; closing the generator releases it.

        Raises:
            SourceError: it cannot be opened, or fails; for a live source also when it ends.
            RuntimeMissingError: what reads it is not installed.
        """
        ...
