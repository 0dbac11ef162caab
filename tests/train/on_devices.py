"""Runs in a child process: a small network trained on one device and on two, in float32 and in float16."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

SIDE, LABELS = 8, 2
TRAINING, VALIDATION = 45, 9  # in batches of 16: 13 are left over, and odd numbers
RATE = 3e-3


class Stopped(Exception):
    """Ends a run."""


def train(folder: str, backend: str) -> dict[str, Any]:
    """What `_run` tells of runs by name, and the "policy" that is left.

    "one" and "two" devices; "chance": labels by chance, until it stops early; "half" and "halves": fine-tuning as on
    one and on two GPUs; "resumed": as "two", stopped and gone on with.
    """
    members = _two(backend)
    import keras

    from edgekit.train.devices import Devices

    work = Path(folder)
    one, two = Devices("cpu", backend, members[:1]), Devices("cpu", backend, members)
    # Float16 is for GPUs; CPUs can calculate with it as well, slowly.
    half, halves = Devices("gpu", backend, members[:1]), Devices("gpu", backend, members)
    found = {
        "one": _run(one, work),
        "two": _run(two, work, workers=3),
        "chance": _run(two, work, by_chance=True, epochs=40, patience=2),
        "half": _run(half, work),
        "halves": _run(halves, work),
    }
    checkpoint = work / "checkpoint.npz"
    try:
        _run(two, work, checkpoint=checkpoint, stop_after=2)
    except Stopped:
        found["resumed"] = _run(two, work, checkpoint=checkpoint)
    found["policy"] = keras.config.dtype_policy().name
    return found


def _two(backend: str) -> tuple[Any, ...]:
    """Two devices that share this machine's processor."""
    os.environ["KERAS_BACKEND"] = backend
    if backend == "jax":
        os.environ.update(JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_force_host_platform_device_count=2")
        import jax

        return tuple(jax.devices())
    import tensorflow as tf

    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.experimental.enable_op_determinism()
    return tuple(tf.config.list_logical_devices("CPU"))


def _network() -> Any:
    """Every kind of layer that edgekit trains, few of them."""
    import keras

    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(LABELS, activation="softmax", dtype="float32", name="scores")(x))


def _run(
    devices: Any,
    work: Path,
    by_chance: bool = False,
    epochs: int = 4,
    patience: int = 9,
    workers: int = 1,
    checkpoint: Path | None = None,
    stop_after: int = 0,
) -> dict[str, Any]:
    """"loss" and "right" are what the saved network gives on the validation images, calculated apart."""
    import keras

    from edgekit.train import features, loop
    from edgekit.train.augment import shifted
    from edgekit.train.pixels import PixelFile
    from edgekit.train.work import _discriminative, _freeze_statistics

    rng = np.random.default_rng(0)
    count = TRAINING + VALIDATION
    truth = rng.integers(0, LABELS, count)
    seen = rng.integers(0, 128, (count, SIDE, SIDE, 3), np.uint8)
    if not by_chance:
        seen[..., 0] += (100 * truth).astype(np.uint8)[:, None, None]
    path = work / f"pixels{int(by_chance)}"
    path.write_bytes(seen.tobytes())
    pixels = PixelFile(path, (SIDE, SIDE, 3))
    training, validation = (
        loop.Part(pixels, range(start, stop), truth[start:stop], np.ones(stop - start, np.float32))
        for start, stop in ((0, TRAINING), (TRAINING, count))
    )
    plan = loop.Plan(epochs, devices.batch_size(16), patience, 0.0, 0.0, shifted, 1, workers, devices.multiple(16))
    keras.utils.set_random_seed(0)
    reached: list[int] = []

    def on_epoch(epoch: int, _: dict[str, float]) -> None:
        reached.append(epoch)
        if epoch == stop_after:
            raise Stopped

    with devices.scope():
        with devices.precision():
            model = _network()
        if devices.kind == "gpu":  # as in fine-tuning
            _freeze_statistics(model)
            optimizer = _discriminative(model, 4 * epochs)
        else:
            optimizer = keras.optimizers.AdamW(RATE * (10 if by_chance else 1))
        loop.compile_for(model, optimizer)
        history = loop.fit(model, LABELS, training, validation, plan, checkpoint, on_epoch)
    single = devices.gathered(model, _network)
    saved = work / "saved.keras"
    keras.Model(single.inputs, single.outputs).save(saved)
    loaded = keras.models.load_model(saved)
    scores = features.answer(loaded, seen[TRAINING:].astype(np.float32))
    asked = truth[TRAINING:]
    return {
        "history": history,
        "epochs": reached,
        "loss": float(-np.log(scores[np.arange(VALIDATION), asked]).mean()),
        "right": float((scores.argmax(1) == asked).mean()),
        "weights": {f"{layer.name}/{number}": np.asarray(array).ravel().tolist()
                    for layer in loaded.layers for number, array in enumerate(layer.get_weights())},
        "trained": {f"{layer.name}/{number}": np.asarray(array).ravel().tolist()
                    for layer in model.layers for number, array in enumerate(layer.get_weights())},
        "calculates in": model.get_layer("conv").compute_dtype,
        "optimizer": type(model.optimizer).__name__,
        "steps": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
    }


def chosen(device: str) -> dict[str, Any]:
    """What `prepare` chooses and hides, and whether TensorFlow was imported for it, also by Keras."""
    import importlib
    import sys

    from edgekit.train.devices import prepare

    devices = prepare(device)
    importlib.import_module("keras")
    return {
        "kind": devices.kind,
        "backend": devices.backend,
        "devices": len(devices.members),
        "hidden": {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")},
        "tensorflow": "tensorflow" in sys.modules,
    }
