"""The scoring of `edgekit validate` beside bare loops that run the same files on images in memory.

A graph with an open batch dimension takes 32 images at a time, in edgekit and in the loop; another takes them one by
one, in one interpreter per core. The images have the size and the channels of the model's input, so that the loops have
nothing to do to them. Several files are scored in one pass, and are run by one loop each.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import models
from benchmarks.measure import Figure, in_turns, say, seconds
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.validate.score import Models, score

ROUNDS = 9
BATCH = 32
CORES = os.cpu_count() or 1
PHOTOS = 1000
FILES = (("none", "tflite"), ("int8", "tflite"), ("none", "onnx"), ("int8", "onnx"))
DIGITS_REPEATED = 5  # so that a round takes long enough to be measured

Images = NDArray[np.uint8]
Loop = Callable[[], NDArray[np.float32]]


def measure(work: Path) -> list[Figure]:
    """Images per second, as a ratio to the bare loops'."""
    photos, digits = models.photos(work, PHOTOS), _digits(work)
    mobilenet, cnn = models.mobilenet(work), models.digits(work)
    figures = []
    for scheme, ending in FILES:
        name = f"MobileNetV2-96 {scheme.replace('none', 'float32')}.{ending}"
        figures.append(compare(name, [models.converted(mobilenet, scheme, ending, photos)], photos))
    files = [models.converted(cnn, scheme, ending, digits) for scheme, ending in FILES]
    return [*figures, compare(f"digits CNN, {len(files)} files", files, digits)]


def compare(name: str, paths: list[Path], data: Path) -> Figure:
    """The same of some files in one pass; `data` is an `.npz` file of images of the inputs' size."""
    say(f"  {name}")
    opened, dataset = Models(paths), open_dataset(data)
    images = np.load(data)["x"]
    images = images.reshape(*images.shape[:3], -1)
    loops = [_bare_onnx(path, images) if path.suffix == ".onnx" else _bare_tflite(path, images) for path in paths]

    def ours() -> list[NDArray[np.float32]]:
        return [each.scores for each in score(opened, dataset, BadImages())[0]]

    def bare() -> list[NDArray[np.float32]]:
        return [loop() for loop in loops]

    np.testing.assert_allclose(ours(), bare(), atol=1e-5)  # the same work; and both are warm
    ours_seconds, bare_seconds = in_turns([partial(seconds, ours), partial(seconds, bare)], ROUNDS)
    ratio = statistics.median(b / a for a, b in zip(ours_seconds, bare_seconds, strict=True))
    rates = [len(images) / statistics.median(times) for times in (ours_seconds, bare_seconds)]
    return Figure(f"validate {name}: images/s", 0.8, ratio, " ×", at_least=True,
                  detail=f"{rates[0]:.0f}; bare loop {rates[1]:.0f}")


def _bare_tflite(path: Path, images: Images) -> Loop:
    from ai_edge_litert.interpreter import Interpreter

    interpreters = [Interpreter(str(path), num_threads=1) for _ in range(CORES)]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
    source = interpreters[0].get_input_details()[0]["index"]
    result = interpreters[0].get_output_details()[0]["index"]

    def run(interpreter: Any, part: Images) -> NDArray[np.float32]:
        answers = []
        for image in part:
            interpreter.set_tensor(source, image[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(result))
        return np.concatenate(answers)

    def loop() -> NDArray[np.float32]:
        with ThreadPoolExecutor(CORES) as executor:
            return np.concatenate(list(executor.map(run, interpreters, np.array_split(images, CORES))))

    return loop


def _bare_onnx(path: Path, images: Images) -> Loop:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name

    def loop() -> NDArray[np.float32]:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([session.run(None, {source: batch})[0] for batch in batches])

    return loop


def _digits(work: Path) -> Path:
    path = work / "many_digits.npz"
    archive = np.load(models.DIGITS)
    np.savez(path, x=np.tile(archive["x"], (DIGITS_REPEATED, 1, 1)), y=np.tile(archive["y"], DIGITS_REPEATED))
    return path
