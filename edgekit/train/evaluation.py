"""What a trained model answers to the images that were held out of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Dataset


@dataclass(frozen=True)
class Evaluation:
    """The held-out images, the scores (calibrated) that the model gives them, and their right labels.

    Attributes:
        data: the images, in the order of the rows below.
        scores: float32 [N, labels].
        truth: indices into the model's labels, int [N].
    """

    data: Dataset
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]
