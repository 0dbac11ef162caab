"""Models to serve, and servers: in this process on a thread, or as users start them."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.runtime.spec import OutputSpec, ScoreCalibration
from edgekit.serve.api import Api
from edgekit.serve.limits import Limits
from edgekit.serve.server import Patience, Server
from tests import models

if TYPE_CHECKING:
    from tests.conftest import Needs

TOKEN = "a-token-of-some-length"


@dataclass(frozen=True)
class Running:
    """A server that runs: where it is, and its process when it has one."""

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


def png(red: int, green: int, blue: int, side: int = models.SIDE) -> bytes:
    """A PNG file of one colour."""
    return encoded(models.colour(red, green, blue, side))


def encoded(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """An image file's content."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _needed(needs: Needs) -> None:
    for module in ("flask", "waitress", "prometheus_client"):
        needs.module(module, "pip install 'edgekit[serve]'")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models: `open` and `fixed` (.tflite), `bytes` (uint8 in), `graph` (.onnx, open batch).

    Below a score of 0.6 `open` is not sure.
    """
    folder = tmp_path_factory.mktemp("served")
    unsure = models.spec(output=OutputSpec("scores", "softmax", calibration=ScoreCalibration(threshold=0.6)))
    models.with_spec(models.tflite(folder / "open.tflite"), unsure)
    models.with_spec(models.tflite(folder / "fixed.tflite", batch=1))
    models.with_spec(models.tflite(folder / "bytes.tflite", dtype="uint8", batch=1), models.spec("uint8"))
    models.with_spec(models.onnx(folder / "graph.onnx"))
    return folder


@pytest.fixture(scope="session")
def files(served: Path) -> list[Path]:
    """All of these models; `open` is the default."""
    return [served / "open.tflite", served / "fixed.tflite", served / "bytes.tflite", served / "graph.onnx"]


@pytest.fixture
def slow_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes every run of a model take longer."""
    import time

    from edgekit.runtime.classify import Classifier

    scores = Classifier.scores

    def delay(seconds: float) -> None:
        def slowly(self: Classifier, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
            time.sleep(seconds)
            return scores(self, tensors)

        monkeypatch.setattr(Classifier, "scores", slowly)

    return delay


@contextmanager
def in_thread(api: Api, patience: Patience | None = None) -> Iterator[Server]:
    """A server on a thread of this process; it ends with the block, unless it was stopped before."""
    server = Server(api, port=0, patience=patience)
    api.engine.wait_until_ready()
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def command(*arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[Running]:
    """`edgekit serve` in a process of its own, as soon as it says where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit.cli.main", "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert " on http://" in line, process.communicate()
        yield Running(line.rpartition(" on ")[2].strip(), process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def api(files: list[Path]) -> Iterator[Api]:
    """The API without a network."""
    made = Api(files, limits=dataclasses.replace(Limits(), body=1 << 20, pixels=1 << 20, request_pixels=1 << 21))
    made.engine.wait_until_ready()
    yield made
    made.close()


@pytest.fixture(scope="session")
def running(files: list[Path]) -> Iterator[Running]:
    """`edgekit serve` of all models, for tests that do not stop it."""
    with command(*files) as found:
        yield found
