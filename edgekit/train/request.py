"""What the child process that trains is asked for and gives back, and what its stages share."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child
from edgekit.train import features, head, loop
from edgekit.train.augment import Augment
from edgekit.train.devices import Devices
from edgekit.train.pixels import PixelFile
from edgekit.train.settings import Settings


@dataclass(frozen=True)
class Feeding:
    """What a network takes and gives: (pixel − mean) / std, by channel, and softmax, sigmoid or logits."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    activation: str


@dataclass(frozen=True)
class Request:
    """What the parent sends. The pixel file holds the images for training, then those for validation, then those held
    out; `ranges` says where, `truth` are the labels of all of them, and `folds` positions in the first two parts.
    `source` is the `.keras` file that training goes on from, if any."""

    settings: Settings
    backbone: str
    shape: tuple[int, int, int]
    labels: int
    folder: Path
    ranges: dict[str, range]
    truth: NDArray[np.int64]
    folds: list[list[int]]
    keep: bool
    feeding: Feeding
    source: Path | None

    @property
    def pixels(self) -> PixelFile:
        """The images."""
        return PixelFile(self.folder / "pixels", self.shape)

    @property
    def seen(self) -> range:
        """Training and validation together."""
        return range(self.ranges["validation"].stop)

    def part(self, images: range) -> loop.Part:
        """Some of the images, as the training loop takes them."""
        truth = self.truth[images.start : images.stop]
        return loop.Part(
            self.pixels, images, truth, head.weights_of(truth, self.labels, self.settings.class_weights)
        )

    def truth_of(self, part: str) -> NDArray[np.int64]:
        """The labels of a part."""
        images = self.ranges[part]
        return self.truth[images.start : images.stop]

    def checkpoint(self, name: str) -> Path | None:
        """Where a stage of training keeps its state, if a run is to be gone on with."""
        return self.folder / name if self.keep else None

    def fit(
        self, devices: Devices, model: Any, epochs: int, patience: int, augment: Augment, stage: str = "epochs",
        checkpoint: str = "checkpoint.npz",
    ) -> list[dict[str, float]]:
        """Train a network that `loop.compile_for` has compiled; the figures of each epoch, which are reported, too."""
        batch_size = devices.batch_size(self.settings.batch_size)
        plan = loop.Plan(
            epochs, batch_size, patience, self.settings.label_smoothing, self.settings.mixup, augment,
            self.settings.seed, workers=os.cpu_count() or 1 if devices.kind == "gpu" else 1,
            multiple=devices.multiple(batch_size),
        )
        return loop.fit(
            model, self.labels, self.part(self.ranges["training"]), self.part(self.ranges["validation"]), plan,
            self.checkpoint(checkpoint),
            lambda epoch, figures: child.report(stage=stage, done=epoch, total=epochs, **figures),
        )

    def steps(self, devices: Devices) -> int:
        """Batches an epoch."""
        return -(-len(self.ranges["training"]) // devices.batch_size(self.settings.batch_size))

    def scores(self, model: Any, part: str) -> NDArray[np.float32]:
        """What a network gives for the images of a part, float32 [N, outputs]."""
        images = self.ranges[part]
        batches = [images[start : start + features.AT_ONCE] for start in range(0, len(images), features.AT_ONCE)]
        outputs = math.prod(model.output_shape[1:])  # some networks end with a map of 1×1
        answers = [features.answer(model, self.pixels.read(batch).astype(np.float32)) for batch in batches]
        return np.concatenate([np.zeros((0, outputs), np.float32), *(one.reshape(-1, outputs) for one in answers)])


@dataclass(frozen=True)
class Made:
    """A trained network, how many images it learned from, the logits it gives to images that it did not learn from,
    and these images' labels.

    After quantization-aware training, `ranges` are those of its activations by layer, and `quantized` says what it did:
    see `edgekit.train.run.QuantizedTraining`.
    """

    model: Any
    learned: int
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]
    history: list[dict[str, float]]
    selection: list[dict[str, Any]]
    notes: list[str]
    ranges: dict[str, tuple[float, float]] | None = None
    quantized: dict[str, Any] | None = None
