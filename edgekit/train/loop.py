"""The training loop. It runs in a child process, since it imports Keras; on any Keras back end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child
from edgekit.core.errors import ConversionError
from edgekit.train.cnn import cnn
from edgekit.train.pixels import PixelFile, augment

PATIENCE = 20
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02  # decoupled: Loshchilov and Hutter 2019, arXiv:1711.05101
PREDICTED_AT_ONCE = 256


def run(
    parts: list[dict[str, Any]], shape: list[int], classes: int, epochs: int, batch_size: int, seed: int, output: str,
    answers: str,
) -> dict[str, Any]:
    """Train the CNN on the first of `parts`, stop early by the second, and answer for the third.

    Each part is {"pixels": file, "labels": class indices}. Progress is reported after every epoch.

    Returns:
        {"history", "stopped_at", "parameters"}; the scores of the third part go to the file `answers`.

    Raises:
        ConversionError: the loss is not finite.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    height, width, channels = shape
    files = [PixelFile(Path(part["pixels"]), (height, width, channels)) for part in parts]
    labels = [np.array(part["labels"], np.int64) for part in parts]
    model = cnn(height, width, channels, classes)
    steps = -(-len(labels[0]) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps * epochs)
    optimizer = keras.optimizers.AdamW(rate, WEIGHT_DECAY)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=PATIENCE, restore_best_weights=True)

    class Report(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
        """Tells the parent about every epoch, and ends a run that has diverged."""

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            figures = {name: float(value) for name, value in (logs or {}).items()}
            if not np.isfinite(figures["loss"]):
                raise ConversionError(f"Training diverged in epoch {epoch + 1}: the loss is not finite.")
            child.report(done=epoch + 1, total=epochs, **figures)

    trained = model.fit(
        _batches(files[0], labels[0], batch_size, seed),
        validation_data=_batches(files[1], labels[1], PREDICTED_AT_ONCE, None),
        epochs=epochs,
        callbacks=[stop, Report()],
        verbose=0,
    )
    history = [
        {name: float(values[epoch]) for name, values in trained.history.items()}
        for epoch in range(len(trained.history["loss"]))
    ]
    keras.Model(model.inputs, model.outputs, name=model.name).save(output)  # without the optimizer's state
    np.save(answers, _predict(model, files[2]))
    return {
        "history": history,
        "stopped_at": len(history),
        "parameters": int(model.count_params()),
    }


def _batches(pixels: PixelFile, labels: NDArray[np.int64], size: int, seed: int | None) -> Any:
    """A Keras data set of (float32 pixels, labels); shuffled and augmented where a seed is given.

    Every batch is made by a generator of its own, (seed, epoch, batch), so that a run can be repeated.
    """
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras is untyped
        """Reads, augments and stacks; no tf.data, so that it feeds any back end."""

        def __init__(self) -> None:
            super().__init__()
            self._epoch = 0
            self._order = self._shuffled()

        def __len__(self) -> int:
            return -(-len(labels) // size)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            chosen = self._order[index * size : (index + 1) * size]
            images = pixels.read(chosen.tolist())
            if seed is None:
                return images.astype(np.float32), labels[chosen]
            return augment(images, np.random.default_rng([seed, self._epoch, index])), labels[chosen]

        def on_epoch_end(self) -> None:
            self._epoch += 1
            self._order = self._shuffled()

        def _shuffled(self) -> NDArray[np.int64]:
            if seed is None:
                return np.arange(len(labels))
            return np.random.default_rng([seed, self._epoch]).permutation(len(labels))

    return Batches()


def _predict(model: Any, pixels: PixelFile) -> NDArray[np.float32]:
    """The scores that the model gives to each image, float32 [N, classes]."""
    scores = []
    for start in range(0, len(pixels), PREDICTED_AT_ONCE):
        images = pixels.read(range(start, min(start + PREDICTED_AT_ONCE, len(pixels))))
        scores.append(np.asarray(model(images.astype(np.float32), training=False), np.float32))
    return np.concatenate(scores)
