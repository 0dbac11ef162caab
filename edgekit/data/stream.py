"""Reading images as a stream: in threads, in order, in bounded memory; with bad files counted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, ImageError
from edgekit.data.dataset import Dataset
from edgekit.runtime.spec import printable

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """Call `function` on every item in threads and yield the results in order.

    At most 2 x `workers` (the number of processors, unless given) items are ahead of the one that was yielded
    last, whatever the number of items. An exception is raised at its item's place. When the iterator is closed
    or interrupted, the calls that have not begun are dropped, and those that run are waited for.
    """
    workers = workers or os.cpu_count() or 1
    pending: deque[Future[Result]] = deque()
    executor = ThreadPoolExecutor(workers, "edgekit-map")
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


class BadImages:
    """The images that could not be read, of which there may be `max_bad`.

    Attributes:
        skipped: name and reason of each, in the order in which they were met.
    """

    def __init__(self, max_bad: int = 0) -> None:
        self.max_bad = max_bad
        self.skipped: list[tuple[str, str]] = []

    def skip(self, name: str, error: ImageError) -> None:
        """Note an image that cannot be read.

        Raises:
            DataError: they are more than `max_bad`.
        """
        self.skipped.append((printable(name), printable(error.message)))
        count = len(self.skipped)
        if count > self.max_bad:
            names = ", ".join(name for name, _ in self.skipped[:3]) + (", …" if count > 3 else "")
            raise DataError(
                f"{count} {'image' if count == 1 else 'images'} cannot be read: {names}. {self.skipped[0][1]}",
                f"Repair or remove them, or skip up to N of them with --max-bad N (now {self.max_bad}).",
            ) from error


def map_images(
    function: Callable[[NDArray[np.uint8]], Result], dataset: Dataset, bad: BadImages, *,
    orientation: str = "exif", workers: int | None = None,
) -> Iterator[tuple[int, Result]]:
    """Decode every image (uint8 RGB [H, W, 3]) and call `function` on it in threads; yield index and result in order.

    Images that cannot be read are given to `bad`. Memory does not grow with their number: a result should be
    small (the model's input), since up to 2 x `workers` of them wait.

    Raises:
        DataError: more images than `bad` allows cannot be read, or none can.
    """
    def read(index: int) -> tuple[int, Result] | ImageError:
        try:
            image = dataset.read(index, orientation)
        except ImageError as error:
            return error
        return index, function(image)

    return _without_bad(map_ordered(read, range(len(dataset)), workers), dataset, bad)


def readable(dataset: Dataset, bad: BadImages, workers: int | None = None) -> Dataset:
    """The images whose files can be opened, with their digests computed in threads, as splits need them.

    They are not decoded: a damaged image is only found by `map_images`.

    Raises:
        DataError: more files than `bad` allows cannot be opened, or none can.
    """
    def check(index: int) -> tuple[int, None] | ImageError:
        try:
            dataset.content_sha256(index)
        except ImageError as error:
            return error
        return index, None

    checked = _without_bad(map_ordered(check, range(len(dataset)), workers), dataset, bad)
    return dataset.subset([index for index, _ in checked])


def _without_bad(
    outcomes: Generator[tuple[int, Result] | ImageError, None, None], dataset: Dataset, bad: BadImages
) -> Iterator[tuple[int, Result]]:
    good = 0
    with closing(outcomes):
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, ImageError):
                bad.skip(dataset.name(index), outcome)
            else:
                good += 1
                yield outcome
    if not good:
        raise DataError(f"{printable(str(dataset.source))} has no image that can be read.")
