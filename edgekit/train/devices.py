"""Where training runs: the processor or GPUs, with Keras on TensorFlow or JAX. These functions belong into the child
process that trains, and `prepare` comes before anything else of Keras there.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import EdgekitError

BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True)
class Devices:
    """What training runs on: `kind` (cpu, gpu), Keras' `backend`, and the backend's own devices."""

    kind: str
    backend: str
    members: tuple[Any, ...]

    def scope(self) -> AbstractContextManager[Any]:
        """In it, models and optimizers are made so that each batch is divided over all devices."""
        if len(self.members) < 2:
            return nullcontext()
        import keras

        if self.backend == "tensorflow":
            import tensorflow as tf

            names = [device.name.rpartition("device:")[2] for device in self.members]
            scope: AbstractContextManager[Any] = tf.distribute.MirroredStrategy(names).scope()
            return scope
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=list(self.members)))
        return nullcontext()

    def batch_size(self, wanted: int) -> int:
        """A batch that can be divided over the devices: `wanted`, or a little more."""
        return -(-wanted // len(self.members)) * len(self.members)


def prepare(device: str) -> Devices:
    """Choose the devices (`auto`: GPUs where there are any) and import Keras.

    GPU memory is taken as it is needed. Nothing random is left to the order of threads on a CPU.

    Raises:
        EdgekitError: a GPU was asked for and there is none, or Keras runs on something else than TensorFlow or JAX.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device == "cpu":
        os.environ.update(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu")
    backend = os.environ.get("KERAS_BACKEND", "")
    if backend in ("", "tensorflow"):
        import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise EdgekitError(
            f"Keras runs on {backend} here; edgekit trains on {' or '.join(BACKENDS)}.",
            "Set KERAS_BACKEND=tensorflow, or change keras.json.",
        )
    gpus = _tensorflow_gpus() if backend == "tensorflow" else _jax_gpus()
    if device == "gpu" and not gpus:
        raise EdgekitError(
            f"--device gpu: {_NAMES[backend]} sees no GPU here.",
            f"{_HINTS[backend]}, or train with --device cpu. `edgekit doctor` says what the driver reports.",
        )
    if gpus and device != "cpu":
        return Devices("gpu", backend, gpus)
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        return Devices("cpu", backend, tuple(tf.config.list_logical_devices("CPU")[:1]))
    import jax

    return Devices("cpu", backend, tuple(jax.devices("cpu")[:1]))


_NAMES = {"tensorflow": "TensorFlow", "jax": "JAX"}
_HINTS = {
    "tensorflow": "Install its CUDA libraries with: pip install 'edgekit[gpu]'",
    "jax": "Install a JAX with CUDA: pip install 'jax[cuda13]'",
}


def _tensorflow_gpus() -> tuple[Any, ...]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return tuple(gpus)


def _jax_gpus() -> tuple[Any, ...]:
    import jax

    return tuple(device for device in jax.devices() if device.platform in ("gpu", "cuda", "rocm"))
