"""A Keras model behind the interface of the device runtimes, run by TensorFlow in a child process."""

from __future__ import annotations

import math
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child, probe
from edgekit.core.errors import ChildLimit, ConversionError
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.interpreters import TensorInfo
from edgekit.runtime.spec import printable

LOADING_TIMEOUT = 600.0  # seconds; HDF5 loops for ever on some damaged files
CLOSING_TIMEOUT = 10.0


def open_classifier(path: str | Path, *, threads: int = 1, allow_lambda: bool = False) -> Classifier:
    """Open any model that carries a spec: a `.keras` file in a child process, other files in this one.

    A `.tflite` or `.onnx` file that this machine has not seen before is tried in a child process first.

    Raises:
        EdgekitError: the file is damaged, unsafe, or carries no spec.
    """
    path = Path(path)
    if modelfile.sniff(path) == "keras":
        if modelfile.read_spec(path) is None:
            return Classifier(path, interpreter=None)  # raises, and says what to do
        return Classifier(path, interpreter=KerasInterpreter(path, allow_lambda))
    probe.vet(path)
    return Classifier(path, threads=threads)


class KerasInterpreter:
    """See `edgekit.runtime.interpreters.Interpreter`. Unlike the others it may be shared by threads."""

    batched = True

    def __init__(self, path: Path, allow_lambda: bool = False) -> None:
        """Start the child and wait until it has loaded the model.

        Raises:
            EdgekitError: as `edgekit.importers.keras_model.load`.
        """
        ours, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._name = printable(path.name)
        self._child: Future[None] = Future()

        def run_child() -> None:
            try:
                child.call(
                    "edgekit.importers.keras_interpreter:serve",
                    purpose=f"Running {self._name}",
                    pass_fds=[theirs.fileno()],
                    path=str(path),
                    channel=theirs.fileno(),
                    allow_lambda=allow_lambda,
                )
                self._child.set_result(None)
            except BaseException as error:
                self._child.set_exception(error)
            finally:
                theirs.close()

        # A daemon: a classifier that nobody closes must not keep the process from ending; the child ends with it.
        self._thread = threading.Thread(target=run_child, name="edgekit-keras", daemon=True)
        self._thread.start()
        self._connection = Connection(ours.detach())
        try:
            shapes = self._receive(LOADING_TIMEOUT)
        except BaseException:
            self.close()
            raise
        self.input = TensorInfo("image", (None, *shapes[0]), "float32", None)
        self.output = TensorInfo("scores", (None, *shapes[1]), "float32", None)

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See Interpreter."""
        with self._lock:
            with suppress(OSError):  # it has died: told by what follows
                self._connection.send(batch)
            answer: NDArray[np.float32] = self._receive()
        return answer

    def close(self) -> None:
        """End the child process."""
        self._connection.close()
        self._thread.join(CLOSING_TIMEOUT)

    def _receive(self, timeout: float = math.inf) -> Any:
        deadline = time.monotonic() + timeout
        while not self._connection.poll(0.2):
            if self._child.done():
                self._child.result()
                raise ConversionError(f"Running {self._name} ended without an answer.")
            if time.monotonic() > deadline:
                raise ChildLimit(f"Loading {self._name} took longer than {timeout:g} s and was given up.")
        try:
            return self._connection.recv()
        except EOFError:
            self._child.result(CLOSING_TIMEOUT)
            raise ConversionError(f"Running {self._name} ended without an answer.") from None


def serve(path: str, channel: int, allow_lambda: bool) -> None:
    """In the child: load the model, tell its shapes, and answer batches until the parent hangs up."""
    from edgekit.importers import keras_model

    model = keras_model.load(Path(path), allow_lambda=allow_lambda)
    connection = Connection(channel)
    connection.send((tuple(model.inputs[0].shape[1:]), tuple(model.outputs[0].shape[1:])))
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        connection.send(np.asarray(model(batch, training=False), np.float32))
