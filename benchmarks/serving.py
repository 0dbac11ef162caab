"""`edgekit serve` beside a bare loop that decodes and runs the same photos on the same cores, and a naive server.

All of it, the load generator too, shares this machine's cores. The photos are JPEG files of 640×480 pixels.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import models
from benchmarks.measure import EDGEKIT, Figure, in_turns, say, seconds

CLIENTS = 32
ROUNDS = 5
CLOSED_SECONDS, OPEN_SECONDS, WARM_SECONDS = 5.0, 20.0, 2.0
LOAD = 0.6  # of saturation, in the open loop
PHOTOS, LOOPED = 32, 320
CORES = os.cpu_count() or 1
BATCH = 8


@dataclass(frozen=True)
class Load:
    """What the load generator saw; latencies in seconds, sorted."""

    seconds: float
    latencies: Sequence[float]
    refused: int

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """A percentile of the latencies."""
        return float(np.percentile(self.latencies, share))


def measure(work: Path) -> list[Figure]:
    """Throughput and latencies of EfficientNet-Lite0: int8 (an image at a time), and ONNX (in batches)."""
    network = models.efficientnet(work)
    calibration = models.photos(work, 100)
    folder = photos(work)
    tflite = models.converted(network, "int8", "tflite", calibration)
    onnx = models.converted(network, "none", "onnx", calibration)
    return [*compare("EfficientNet-Lite0 int8.tflite", tflite, folder), *compare("… float32.onnx", onnx, folder)]


def compare(name: str, model: Path, folder: Path) -> list[Figure]:
    """The figures of one model."""
    say(f"  {name}")
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    bare = _bare_onnx(model, files) if model.suffix == ".onnx" else _bare_tflite(model, files)
    with _serving((*EDGEKIT, "serve", model, "--port", "0")) as port:
        _load(port, "closed", CLIENTS, WARM_SECONDS, folder)
        served: list[Load] = []
        loops: list[float] = []
        closed = partial(_load, port, "closed", CLIENTS, CLOSED_SECONDS, folder)
        in_turns([lambda: served.append(closed()), lambda: loops.append(seconds(bare))], ROUNDS)
        rates = [run.rate for run in served]
        rate = statistics.median(rates)
        ratio = statistics.median(rate * time / LOOPED for rate, time in zip(rates, loops, strict=True))
        p95 = statistics.median(run.percentile(95) * run.rate / CLIENTS for run in served)
        alone = _load(port, "closed", 1, CLOSED_SECONDS, folder).percentile(50)
        opened = _load(port, "open", LOAD * rate, OPEN_SECONDS, folder)
    refused = sum(run.refused for run in (*served, opened))
    slow, unloaded = opened.percentile(95), f"alone {1000 * alone:.0f} ms; {opened.rate:.0f} images/s"
    return [
        Figure(f"serve {name}: images/s, {CLIENTS} clients", 0.75, ratio, " ×", at_least=True,
               detail=f"{rate:.0f}; bare loop {LOOPED / statistics.median(loops):.0f}{_naive(model, folder)}"),
        Figure("… p95 of the latency × images/s / clients", 1.5, p95, " ×",
               detail=f"{1000 * statistics.median(run.percentile(95) for run in served):.0f} ms"),
        Figure("… refused", 0, refused, detail=f"of {sum(len(run.latencies) for run in (*served, opened))}"),
        Figure(f"… open loop at {LOAD:.0%} of that: p95 / latency alone", 4, slow / alone, " ×",
               detail=f"{1000 * slow:.0f} ms; {unloaded}"),
    ]


def photos(work: Path) -> Path:
    """A folder of JPEG files."""
    folder = work / "served_photos"
    folder.mkdir(exist_ok=True)
    for number in range(PHOTOS):
        path = folder / f"{number:03}.jpg"
        if not path.exists():
            Image.fromarray(models.photo(number, 640)[:480]).save(path, quality=90)
    return folder


def _naive(model: Path, folder: Path) -> str:
    """What the naive server reaches, for the details."""
    if model.suffix == ".onnx":
        return ""
    with _serving((sys.executable, "-m", "benchmarks.naive_flask", model)) as port:
        _load(port, "closed", CLIENTS, WARM_SECONDS, folder)
        run = _load(port, "closed", CLIENTS, CLOSED_SECONDS, folder)
    return f"; naive Flask {run.rate:.0f}"


@contextmanager
def _serving(command: Sequence[str | Path]) -> Iterator[int]:
    """A server in a process of its own: the port, which the first line that it prints ends with."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _load(port: int, kind: str, amount: float, duration: float, folder: Path) -> Load:
    arguments = (str(port), kind, str(amount), str(duration), str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *arguments], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    good = int(found["statuses"].get("200", 0))
    return Load(found["seconds"], sorted(found["latencies"]), len(found["latencies"]) - good)


def _decoded(content: bytes, height: int, width: int) -> Any:
    """A photo's centre, decoded and resized by Pillow, uint8 [height, width, 3]."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    left, top = (image.width - image.height) / 2, 0
    box = (left, top, left + image.height, image.height)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))


def _bare_tflite(model: Path, files: list[bytes]) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreters = [Interpreter(str(model), num_threads=1) for _ in range(CORES)]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
    source, result = interpreters[0].get_input_details()[0], interpreters[0].get_output_details()[0]["index"]
    height, width = (int(side) for side in source["shape"][1:3])

    def run(interpreter: Any, numbers: range) -> None:
        for number in numbers:
            interpreter.set_tensor(source["index"], _decoded(files[number % len(files)], height, width)[None])
            interpreter.invoke()
            interpreter.get_tensor(result)

    def loop() -> None:
        with ThreadPoolExecutor(CORES) as executor:
            list(executor.map(run, interpreters, [range(core, LOOPED, CORES) for core in range(CORES)]))

    return loop


def _bare_onnx(model: Path, files: list[bytes]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    height, width = (int(side) for side in source.shape[1:3])

    def run(start: int) -> None:
        batch = [_decoded(files[number % len(files)], height, width) for number in range(start, start + BATCH)]
        session.run(None, {source.name: np.stack(batch)})

    def loop() -> None:
        with ThreadPoolExecutor(CORES) as executor:
            list(executor.map(run, range(0, LOOPED, BATCH)))

    return loop
