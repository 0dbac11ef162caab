"""Runs models for many requests at once: a bounded queue, and one interpreter of each model per worker thread.

A worker takes what has waited longest and does all of its work: decoding, preprocessing, inference. So no more images
are decoded at a time than there are workers. Of a model with an open batch dimension it takes more of the images that
wait, but leaves the other workers their share (micro-batching). Nothing ever waits for a batch to fill, and no batch is
made of images that take long: it would gain nothing, and the first of them would wait for the last.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import EdgekitError, ImageError
from edgekit.runtime import images
from edgekit.runtime.classify import Classifier
from edgekit.serve.limits import Limits
from edgekit.serve.models import ServedModel

MAX_BATCH = 8
BATCH_SECONDS = 0.03  # about how long a batch may take
SMOOTHING = 0.1  # of the seconds that an image takes
ENDING = 1.0  # seconds that a worker without an image may take to end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The scores of one image, float32 [labels], the seconds spent on it, and how many images were run with it."""

    scores: NDArray[np.float32]
    queue_seconds: float
    prepare_seconds: float
    inference_seconds: float
    batch: int


class QueueFull(Exception):
    """There is no room; `retry_after` is in how many seconds there may be."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class EngineClosed(Exception):
    """The engine takes no more work."""


@dataclass(eq=False)
class _Job:
    model: str
    image: bytes | NDArray[Any]  # a file's content, or the model's own input without the batch axis
    submitted: float
    future: Future[Outcome] = field(default_factory=Future)
    tensor: NDArray[Any] | None = None
    begun: float = 0.0
    prepared: float = 0.0


class Engine:
    """The models, the queue and the workers. All methods may be called from any thread.

    Its threads start with the first work, so an engine may be made before a web server forks.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        *,
        workers: int | None = None,
        limits: Limits | None = None,
        on_batch: Callable[[str, Sequence[Outcome]], None] | None = None,
    ) -> None:
        """Serve these models with so many threads (by default one per processor); `on_batch` hears of what was run."""
        self.models = {model.name: model for model in models}
        self.limits = limits or Limits()
        self.workers = workers or os.cpu_count() or 1
        self._on_batch = on_batch
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._unfinished = 0  # waiting or running
        self._accepted = 0.0  # when the last image was
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._loaded = 0
        self._failure: EdgekitError | None = None
        self._image_seconds: dict[str, float] = {}  # how long an image of each model takes

    @property
    def ready(self) -> bool:
        """Whether all workers have loaded and tried all models, and work is taken."""
        return self._loaded == self.workers and not self._closed

    @property
    def unfinished(self) -> int:
        """How many images are waiting or being run."""
        return self._unfinished

    def start(self) -> None:
        """Start the workers unless they run; they load the models and try them on an empty image."""
        with self._changed:
            if self._threads or self._closed:
                return
            self._threads = [
                threading.Thread(target=self._work, name=f"edgekit-worker-{number}", daemon=True)
                for number in range(self.workers)
            ]
            for thread in self._threads:
                thread.start()

    def wait_until_ready(self) -> None:
        """Start the workers and wait for them.

        Raises:
            EdgekitError: a model cannot be loaded or run.
        """
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._loaded == self.workers or self._failure is not None)
        if self._failure is not None:
            raise self._failure

    def submit(self, model: str, inputs: Sequence[bytes | NDArray[Any]]) -> list[Future[Outcome]]:
        """Accept all of these images (files' contents, or the model's own inputs without the batch axis), or none.

        A future's result may be an EdgekitError: ImageError for an image that cannot be read.

        Raises:
            QueueFull: too many images wait.
            EngineClosed: no more work is taken.
        """
        self.start()
        now = time.perf_counter()
        jobs = [_Job(model, image, now) for image in inputs]
        with self._changed:
            if self._closed:
                raise EngineClosed
            if self._failure is not None:
                raise self._failure
            if self._unfinished + len(jobs) > self.limits.waiting:
                seconds = self._unfinished * max(self._image_seconds.values(), default=0.0) / self.workers
                raise QueueFull(min(max(math.ceil(seconds), 1), 60))
            self._unfinished += len(jobs)
            self._accepted = now
            self._queue.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def close(self) -> None:
        """Take no more work, finish what was accepted, and end the workers.

        Images that nobody waits for any more, by `Limits.seconds`, are not waited for here either.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = max(self._accepted + self.limits.seconds, time.perf_counter() + ENDING)
        for thread in self._threads:
            thread.join(max(end - time.perf_counter(), 0))

    def _work(self) -> None:
        try:
            classifiers = {name: self._load(model) for name, model in self.models.items()}
        except Exception as error:
            if not isinstance(error, EdgekitError):
                log.exception("A model cannot be loaded")
                error = EdgekitError("A model cannot be loaded; the log says why.")
            with self._changed:
                self._failure = error
                for job in self._queue:
                    if job.future.set_running_or_notify_cancel():
                        job.future.set_exception(self._failure)
                self._unfinished -= len(self._queue)
                self._queue.clear()
                self._changed.notify_all()
            return
        with self._changed:
            self._loaded += 1
            self._changed.notify_all()
        while jobs := self._take(classifiers):
            try:
                results = self._run(jobs, classifiers[jobs[0].model])
            except Exception as error:  # whatever it is, the requests get an answer and the worker lives on
                log.exception("Running %s failed", jobs[0].model)
                results = [error] * len(jobs)
            with self._changed:  # before the requests hear of it: they may send the next ones at once
                self._unfinished -= len(jobs)
            for job, result in zip(jobs, results, strict=True):
                if isinstance(result, Exception):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)

    def _load(self, model: ServedModel) -> Classifier:
        """The classifier of a worker, warm: the first run of a model takes longer than the others."""
        classifier = Classifier(model.path)
        empty = np.zeros((1, *model.input_shape), model.spec.input.dtype)
        classifier.scores(empty)
        begin = time.perf_counter()
        classifier.scores(empty)
        self._image_seconds[model.name] = max(time.perf_counter() - begin, 1e-6)
        return classifier

    def _take(self, classifiers: dict[str, Classifier]) -> list[_Job]:
        """The oldest job, and more of its model where that runs batches; none when the engine is closed and empty."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return []
                jobs = [self._queue.popleft()]
                model = jobs[0].model
                if self._queue and classifiers[model].interpreter.batched:
                    same = [job for job in self._queue if job.model == model]
                    share = math.ceil((len(same) + 1) / self.workers)
                    quick = int(BATCH_SECONDS / self._image_seconds[model])
                    jobs += same[: max(min(share, quick, MAX_BATCH) - 1, 0)]
                    for job in jobs[1:]:
                        self._queue.remove(job)
                wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
                self._unfinished -= len(jobs) - len(wanted)
                if wanted:
                    return wanted

    def _run(self, jobs: list[_Job], classifier: Classifier) -> list[Outcome | Exception]:
        begin = time.perf_counter()
        errors = [self._prepare(job, classifier) for job in jobs]
        good = [job for job, error in zip(jobs, errors, strict=True) if error is None]
        if not good:
            return [error for error in errors if error is not None]
        scores = iter(classifier.scores(np.stack([job.tensor for job in good if job.tensor is not None])))
        end = time.perf_counter()
        inference = (end - good[-1].prepared) / len(good)
        before = self._image_seconds[good[0].model]
        self._image_seconds[good[0].model] = before + SMOOTHING * ((end - begin) / len(jobs) - before)
        results: list[Outcome | Exception] = [
            error
            or Outcome(next(scores), job.begun - job.submitted, job.prepared - job.begun, inference, len(good))
            for job, error in zip(jobs, errors, strict=True)
        ]
        if self._on_batch:
            self._on_batch(good[0].model, [result for result in results if isinstance(result, Outcome)])
        return results

    def _prepare(self, job: _Job, classifier: Classifier) -> EdgekitError | None:
        """Make the job's tensor; gives the reason when it cannot be made."""
        job.begun = time.perf_counter()
        try:
            if isinstance(job.image, bytes):
                orientation = classifier.spec.preprocess.orientation
                pixels = images.decode(job.image, orientation=orientation, max_pixels=self.limits.pixels)
                job.tensor = classifier.prepare(pixels)
            else:
                job.tensor = job.image
        except EdgekitError as error:
            return error
        except MemoryError:
            return ImageError("The image needs more memory than there is.", "Scale it down first.")
        finally:
            job.image = b""
        job.prepared = time.perf_counter()
        return None
