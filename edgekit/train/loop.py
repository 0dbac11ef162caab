"""The training loop of a network: augmented batches, early stopping, checkpoints. Needs Keras, on TensorFlow or JAX."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import files
from edgekit.core.errors import ConversionError, DataError
from edgekit.runtime.spec import printable
from edgekit.train.augment import Augment
from edgekit.train.head import targets_of
from edgekit.train.pixels import PixelFile

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Part:
    """Images to train or judge on: their place in the pixel file, their labels [N] and weights [N]."""

    pixels: PixelFile
    images: range
    truth: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """How to train: `patience` epochs without a better validation loss end it, and the best epoch's weights stay.

    Every batch has a multiple of `multiple` images: where there are too few, some are repeated, and do not count.
    `workers` threads make batches ahead; their number changes nothing of the result.
    """

    epochs: int
    batch_size: int
    patience: int
    label_smoothing: float
    mixup: float
    augment: Augment
    seed: int
    workers: int = 1
    multiple: int = 1


def compile_for(model: Any, optimizer: Any) -> None:
    """Compile a model with softmax outputs for `fit`. Accuracy is weighted, so that repeated images do not count."""
    model.compile(optimizer, "categorical_crossentropy", weighted_metrics=["accuracy"])


def fit(
    model: Any,
    labels: int,
    training: Part,
    validation: Part,
    plan: Plan,
    checkpoint: Path | None,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> list[dict[str, float]]:
    """Train a model after `compile_for`; afterwards it has its best epoch's weights.

    Args:
        checkpoint: a file that is written after every epoch. If it is there already, training goes on from it and
            ends where the whole run would have.
        on_epoch: told every epoch, from 1, with its figures.

    Returns:
        The figures of every epoch: loss, accuracy, val_loss, val_accuracy.

    Raises:
        ConversionError: the loss is not finite.
        OutputError: the checkpoint cannot be written; the one before it stays.
        DataError: the checkpoint is damaged.
    """
    import keras

    model.optimizer.build(model.trainable_variables)
    state = _State(model, checkpoint)
    epochs_done = len(state.history)

    class Follow(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
        """Keeps the best weights and the checkpoint, tells about every epoch, and ends what leads nowhere."""

        def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
            strategy = getattr(self.model, "distribute_strategy", None)  # TensorFlow's
            if strategy is not None and strategy.num_replicas_in_sync > 1:
                state.average()

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            figures = {name: float(value) for name, value in (logs or {}).items()}
            if not np.isfinite(figures["loss"]):
                raise ConversionError(f"Training diverged in epoch {epoch + 1}: the loss is not finite.")
            _ = self.model  # on JAX, this brings the weights up to date
            state.add(figures)
            on_epoch(epoch + 1, figures)
            if state.waited >= plan.patience:
                self.model.stop_training = True

    if epochs_done < plan.epochs and state.waited < plan.patience:
        model.fit(
            batches(training, labels, plan, first_epoch=epochs_done),
            validation_data=batches(validation, labels, plan, first_epoch=None),
            initial_epoch=epochs_done,
            epochs=plan.epochs,
            callbacks=[Follow()],
            shuffle=False,  # Keras would shuffle the batches once more, by a state that is lost when a run stops
            verbose=0,
        )
    state.restore_best()
    return state.history


def batches(part: Part, labels: int, plan: Plan, first_epoch: int | None) -> Any:
    """A Keras data set of (float32 pixels, targets, weights); shuffled and changed at random where there is an epoch.

    Every batch is made by a generator of its own, (seed, epoch, batch), so that a run can be repeated and resumed.
    """
    import keras

    count, rest = divmod(len(part.truth), plan.batch_size)
    fed = count * plan.batch_size + _up(rest, plan.multiple)  # images an epoch, with those repeated
    share = np.float32(fed / max(1, len(part.truth)))

    def filled(batch: Batch) -> Batch:
        # Keras divides by the number of images fed: with `share`, an epoch's loss is the mean over those that count.
        images, targets, weights = batch
        places = np.arange(_up(len(images), plan.multiple))
        rows = places % len(images)
        return images[rows], targets[rows], weights[rows] * share * (places < len(images))

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras is untyped
        """Reads, augments and stacks; no tf.data, so that it feeds any back end.

        It has threads of its own: Keras' (3.15) give batches of the epoch before to JAX.
        """

        def __init__(self) -> None:
            super().__init__()
            self._epoch = first_epoch
            self._order = self._shuffled()
            self._threads = ThreadPoolExecutor(plan.workers)
            self._coming: dict[int, Future[Batch]] = {}

        def __len__(self) -> int:
            return -(-len(part.truth) // plan.batch_size)

        def __getitem__(self, index: int) -> Batch:
            for number in range(index, min(index + 2 * plan.workers, len(self))):
                if number not in self._coming:
                    self._coming[number] = self._threads.submit(self._made, number, self._epoch, self._order)
            return self._coming.pop(index).result()

        def on_epoch_end(self) -> None:
            for batch in self._coming.values():
                batch.cancel()
            self._coming.clear()
            if self._epoch is not None:
                self._epoch += 1
                self._order = self._shuffled()

        def _made(self, index: int, epoch: int | None, order: NDArray[np.int64]) -> Batch:
            chosen = order[index * plan.batch_size : (index + 1) * plan.batch_size]
            images = part.pixels.read([part.images[position] for position in chosen])
            if epoch is None:
                targets = targets_of(part.truth[chosen], labels, 0.0)
                return filled((images.astype(np.float32), targets, np.ones(len(chosen), np.float32)))
            rng = np.random.default_rng([plan.seed, epoch, index])
            batch = (
                plan.augment(images, rng),
                targets_of(part.truth[chosen], labels, plan.label_smoothing),
                part.weights[chosen],
            )
            return filled(_mixed(batch, plan.mixup, rng) if plan.mixup else batch)

        def _shuffled(self) -> NDArray[np.int64]:
            if self._epoch is None:
                return np.arange(len(part.truth))
            return np.random.default_rng([plan.seed, self._epoch]).permutation(len(part.truth))

    return Batches()


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _mixed(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Mix each image and its targets with another's (mixup: Zhang et al. 2018, arXiv:1710.09412)."""
    images, targets, weights = batch
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    mixed = [share * values + (1 - share) * values[other] for values in (images, targets, weights)]
    return mixed[0], mixed[1], mixed[2]


class _State:
    """The history, the best weights so far, and with a checkpoint all that is needed to go on."""

    def __init__(self, model: Any, checkpoint: Path | None) -> None:
        self._model, self._checkpoint = model, checkpoint
        self._best: list[NDArray[Any]] = []
        self.history: list[dict[str, float]] = []
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)

    @property
    def waited(self) -> int:
        """Epochs since the best one; a validation loss of NaN is the worst."""
        losses = [figures["val_loss"] if np.isfinite(figures["val_loss"]) else np.inf for figures in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def add(self, figures: dict[str, float]) -> None:
        """Note an epoch."""
        self.history.append(figures)
        if self.waited == 0:
            self._best = self._arrays(self._model.variables)
        if self._checkpoint is not None:
            self._save(self._checkpoint)

    def average(self) -> None:
        """Give all devices the mean of their batch statistics: that is what is saved, so it is to be judged."""
        variables = self._model.non_trainable_variables
        self._assign(variables, self._arrays(variables))

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        self._assign(self._model.variables, self._best)

    def _save(self, path: Path) -> None:
        groups = {"best": self._best, "model": self._arrays(self._model.variables),
                  "optimizer": self._arrays(self._model.optimizer.variables)}
        arrays = {f"{name}{number}": array for name, group in groups.items() for number, array in enumerate(group)}
        with files.replacing(path) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, history=np.array(json.dumps(self.history)), **arrays)

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                self.history = json.loads(str(stored["history"]))
                groups = {name: [stored[f"{name}{number}"] for number in range(len(variables))]
                          for name, variables in (("best", self._model.variables), ("model", self._model.variables),
                                                  ("optimizer", self._model.optimizer.variables))}
            self._best = groups["best"]
            self._assign(self._model.variables, groups["model"])
            self._assign(self._model.optimizer.variables, groups["optimizer"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"The checkpoint {printable(str(path))} is damaged or of another network.",
                            "Remove its folder to train from the beginning.") from error

    @staticmethod
    def _arrays(variables: list[Any]) -> list[NDArray[Any]]:
        import keras

        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]

    @staticmethod
    def _assign(variables: list[Any], arrays: list[NDArray[Any]]) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
