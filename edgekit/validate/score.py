"""What models answer to a data set: all of them in one pass, so that every image is decoded once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ImageError
from edgekit.data.dataset import Dataset
from edgekit.data.stream import BadImages, map_ordered
from edgekit.importers.keras_interpreter import KerasInterpreter, open_classifier
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import ModelSpec

CHUNK = 32
TIMED_RUNS, TIMED_SECONDS = 50, 1.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image (inference alone): median and 95th percentile, on one thread and on all."""

    p50: float
    p95: float
    p50_all_threads: float
    p95_all_threads: float


@dataclass(frozen=True)
class Scored:
    """The scores of one model, float32 [N, labels], and the images per second that it ran at."""

    scores: NDArray[np.float32]
    images_per_second: float


class Models:
    """Several models, each with one classifier per thread (and one for all threads where Keras runs it)."""

    def __init__(self, paths: Sequence[Path], allow_lambda: bool = False) -> None:
        """Open each of them once.

        Raises:
            EdgekitError: a file is damaged, unsafe, or carries no spec.
        """
        self.paths = list(paths)
        self._local = threading.local()
        self._first: list[Classifier] = []
        try:
            for path in paths:
                self._first.append(open_classifier(path, allow_lambda=allow_lambda))
        except BaseException:
            self.close()
            raise
        self.specs = [classifier.spec for classifier in self._first]
        self._local.classifiers = self._first

    def of_this_thread(self) -> list[Classifier]:
        """The classifiers that the calling thread may use."""
        if not hasattr(self._local, "classifiers"):
            self._local.classifiers = [
                first if isinstance(first.interpreter, KerasInterpreter) else Classifier(first.path)
                for first in self._first
            ]
        classifiers: list[Classifier] = self._local.classifiers
        return classifiers

    def close(self) -> None:
        """End the child processes."""
        for classifier in self._first:
            if isinstance(classifier.interpreter, KerasInterpreter):
                classifier.interpreter.close()


def score(
    models: Models, data: Dataset, bad: BadImages, on_progress: Callable[[int, int], None] | None = None
) -> tuple[list[Scored], Dataset]:
    """Answer every readable image of `data` with every model.

    Images are decoded and answered by one thread per core, 32 at a time: decoding overlaps inference, and memory does
    not grow with their number. A graph with an open batch dimension answers them at once, others one by one.

    Returns:
        For each model its scores, and the images that they belong to.

    Raises:
        DataError: more images than `bad` allows cannot be read.
    """
    workers = os.cpu_count() or 1
    chunks = [range(start, min(start + CHUNK, len(data))) for start in range(0, len(data), CHUNK)]
    scores: list[list[NDArray[np.float32]]] = [[] for _ in models.specs]
    seconds = np.zeros(len(models.specs))
    kept: list[int] = []
    with closing(map_ordered(lambda chunk: _answer(models, data, chunk), chunks, workers)) as answers:
        for chunk, answer in zip(chunks, answers, strict=True):
            for index, error in answer.unreadable:
                bad.skip(data.name(index), error)
            skipped = {index for index, _ in answer.unreadable}
            kept += [index for index in chunk if index not in skipped]
            for all_scores, new in zip(scores, answer.scores, strict=True):
                all_scores.append(new)
            seconds += answer.seconds
            if on_progress:
                on_progress(chunk[-1] + 1, len(data))
    scored = [
        Scored(np.concatenate(rows), len(kept) * min(workers, len(chunks)) / max(spent, 1e-9))
        for rows, spent in zip(scores, seconds, strict=True)
    ]
    return scored, data.subset(kept)


def latency(path: Path, tensor: NDArray[Any]) -> Latency:
    """Time one prepared input (without a batch axis) again and again, after a warm-up."""
    figures: list[float] = []
    for threads in (1, os.cpu_count() or 1):
        times = timed(Classifier(path, threads=threads), tensor)
        figures += [float(np.percentile(times, share)) for share in (50, 95)]
    return Latency(*figures)


def timed(classifier: Classifier, tensor: NDArray[Any]) -> list[float]:
    """Milliseconds of each of some runs on one prepared input (without a batch axis), after a warm-up."""
    batch = tensor[None]
    for _ in range(5):
        classifier.interpreter.run(batch)
    times: list[float] = []
    while len(times) < TIMED_RUNS and sum(times) < TIMED_SECONDS:
        begin = time.perf_counter()
        classifier.interpreter.run(batch)
        times.append(time.perf_counter() - begin)
    return [1000 * seconds for seconds in times]


@dataclass(frozen=True)
class _Answer:
    scores: list[NDArray[np.float32]]
    seconds: NDArray[np.float64]
    unreadable: list[tuple[int, ImageError]]


@dataclass
class _Prepared:
    """The inputs of all classifiers that are fed alike, made by one of them, and the seconds that took."""

    classifier: Classifier
    tensors: list[NDArray[Any]] = field(default_factory=list)
    seconds: float = 0.0


def _answer(models: Models, data: Dataset, chunk: range) -> _Answer:
    classifiers = models.of_this_thread()
    feeds = [_feed(classifier.spec) for classifier in classifiers]
    shared = {feed: _Prepared(classifier) for feed, classifier in zip(feeds, classifiers, strict=True)}
    inputs = [shared[feed] for feed in feeds]
    distinct = list(shared.values())
    orientations = {prepared.classifier.spec.preprocess.orientation for prepared in distinct}
    unreadable = []
    for index in chunk:
        try:
            images = {orientation: data.read(index, orientation) for orientation in orientations}
        except ImageError as error:
            unreadable.append((index, error))
            continue
        for prepared in distinct:
            begin = time.perf_counter()
            prepared.tensors.append(
                prepared.classifier.prepare(images[prepared.classifier.spec.preprocess.orientation])
            )
            prepared.seconds += time.perf_counter() - begin
    scores, seconds = [], []
    for classifier, prepared in zip(classifiers, inputs, strict=True):
        begin = time.perf_counter()
        if prepared.tensors:
            scores.append(classifier.scores(np.stack(prepared.tensors)))
        else:
            scores.append(np.empty((0, len(classifier.spec.labels)), np.float32))
        seconds.append(time.perf_counter() - begin + prepared.seconds)
    return _Answer(scores, np.array(seconds), unreadable)


def _feed(spec: ModelSpec) -> tuple[Any, Any, Any]:
    """What decides how an image is prepared; models of the same feed share the work."""
    image = spec.input
    return (image.height, image.width, image.layout), (image.dtype, image.quantization), spec.preprocess
