"""Where training runs: the processor or GPUs, with Keras on TensorFlow or JAX. These functions belong into the child
process that trains, and `prepare` comes before anything else of Keras there.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, MissingExtraError
from edgekit.runtime.spec import printable

BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True)
class Devices:
    """What training runs on: `kind` (cpu, gpu), Keras' `backend`, and the backend's own devices.

    XLA is left to Keras: JAX always compiles with it, TensorFlow on one GPU; on CPUs, on several devices and for
    deterministic operations, Keras (3.15) turns it off there.
    """

    kind: str
    backend: str
    members: tuple[Any, ...]

    def scope(self) -> AbstractContextManager[Any]:
        """In it, models and optimizers are made and fitted so that each batch is divided over all devices.

        What else is done with such a model, is done with what `gathered` gives, outside.
        """
        if len(self.members) < 2:
            return nullcontext()
        if self.backend == "tensorflow":
            names = tuple(device.name.rpartition("device:")[2] for device in self.members)
            scope: AbstractContextManager[Any] = _mirrored(names).scope()
            return scope
        import keras

        scope = keras.distribution.DataParallel(devices=list(self.members)).scope()
        return scope

    @contextmanager
    def precision(self) -> Iterator[None]:
        """In it, networks are made that calculate in float16 on GPUs, and keep their weights in float32.

        Not on several of TensorFlow's: there, Keras (3.15) leaves out steps of infinite gradients, which come with loss
        scaling, only if they are those of the first.
        """
        import keras

        if self.kind != "gpu" or (self.backend == "tensorflow" and len(self.members) > 1):
            yield
            return
        usual = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            yield
        finally:
            keras.config.set_dtype_policy(usual)

    def gathered(self, model: Any, make: Callable[[], Any]) -> Any:
        """`model` of float32 and on one device; `make` makes such a network, whose weights are replaced."""
        if self.kind != "gpu" and len(self.members) < 2:
            return model
        made = make()
        made.set_weights(model.get_weights())
        return made

    def batch_size(self, wanted: int) -> int:
        """A batch that can be divided over the devices: `wanted`, or a little more."""
        return -(-wanted // len(self.members)) * len(self.members)

    def multiple(self, batch_size: int) -> int:
        """The last batch of an epoch has a multiple of so many images: it is divided as well, and JAX, which compiles
        the network anew for every size, is given one size only."""
        return batch_size if self.backend == "jax" else len(self.members)


@cache
def _mirrored(names: tuple[str, ...]) -> Any:
    """One for the whole process: TensorFlow confuses what the devices of two tell each other."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names)


def prepare(device: str) -> Devices:
    """Choose the devices (`auto`: GPUs where there are any) and what Keras runs on. TensorFlow or JAX is imported here.

    GPU memory is taken as it is needed. Nothing random is left to the order of threads on a CPU.

    Raises:
        EdgekitError: a GPU was asked for and there is none, or Keras is to run on something else than TensorFlow or
            JAX, or on what is not installed.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device == "cpu":
        os.environ.update(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu")
    backend = os.environ["KERAS_BACKEND"] = _chosen_backend()
    if backend not in BACKENDS:
        raise EdgekitError(
            f"Keras runs on {printable(backend)[:60]} here; edgekit trains on {' or '.join(BACKENDS)}.",
            "Set KERAS_BACKEND=tensorflow, or change keras.json.",
        )
    if importlib.util.find_spec(backend) is None:
        raise MissingExtraError(
            f"Training with Keras on {_NAMES[backend]}", {"tensorflow": "keras", "jax": "jax"}[backend], backend
        )
    if backend == "tensorflow":
        import tensorflow as tf  # before Keras

    gpus = _tensorflow_gpus() if backend == "tensorflow" else _jax_gpus()
    if device == "gpu" and not gpus:
        raise EdgekitError(
            f"--device gpu: {_NAMES[backend]} sees no GPU here.",
            f"{_HINTS[backend]}, or train with --device cpu. `edgekit doctor` says what the driver reports.",
        )
    if gpus and device != "cpu":
        return Devices("gpu", backend, gpus)
    if backend == "tensorflow":
        tf.config.experimental.enable_op_determinism()
        return Devices("cpu", backend, tuple(tf.config.list_logical_devices("CPU")[:1]))
    import jax

    return Devices("cpu", backend, tuple(jax.devices("cpu")[:1]))


def _chosen_backend() -> str:
    """What Keras would run on, found as it finds it, but without importing it: that fails where it is missing."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path.home()
    folder = os.environ.get("KERAS_HOME") or (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"
    try:
        chosen = json.loads((Path(folder).expanduser() / "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
    return str(chosen)


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
