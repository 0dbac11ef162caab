"""The frames that are classified: all of a source that ends, and the latest of one that goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.errors import SourceError
from edgekit.runtime.pi.pictures import Source

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before a source that failed is opened again
_TICK = 1.0  # seconds


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        name: of its file or source.
        number: counted from 0, those that nobody saw included.
        taken: when it came from its source, in seconds since the epoch.
        pixels: RGB, uint8 [H, W, 3].
        dropped: frames that came and went, unseen, since the last one that was given.
    """

    name: str
    number: int
    taken: float
    pixels: NDArray[np.uint8]
    dropped: int = 0


def all_frames(source: Source, every: int = 1) -> Iterator[Frame]:
    """Each `every`-th frame of a source that ends."""
    with closing(source.pictures()) as pictures:
        for number, picture in enumerate(pictures):
            if number % every == 0:
                yield Frame(picture.name, number, time.time(), picture.pixels)


class LatestFrame:
    """Reads a live source in a thread of its own and keeps one frame: the latest wins, and memory is bounded.

    A source that fails is opened again, after 1, 2, 4 … 30 seconds; the first frame that comes ends the waiting.
    """

    def __init__(self, source: Source, say: Callable[[str], None], *, first_wait: float = FIRST_WAIT) -> None:
        """Start reading.

        Args:
            source: where frames come from.
            say: is told, in the reading thread, when the source fails and when it is back.
            first_wait: seconds before the first new attempt; it is doubled for each further one.
        """
        self._source, self._say, self._first_wait = source, say, first_wait
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._fatal: Exception | None = None
        self._read = 0
        self._moved = time.monotonic()
        self._waiting = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def frames(self, every: int = 1) -> Iterator[Frame | None]:
        """The latest frame each time, at least `every` frames after the last one; None when a second brought none.

        Raises:
            RuntimeMissingError: what reads the source is not installed.
        """
        last = -every
        while True:
            frame = self._wait_for(last + every)
            if frame is not None:
                frame = Frame(frame.name, frame.number, frame.taken, frame.pixels, max(0, frame.number - last - every))
                last = frame.number
            yield frame

    def stuck_seconds(self) -> float:
        """How long the source has been silent in the middle of a read; 0 while it is waited for on purpose."""
        return 0.0 if self._waiting else time.monotonic() - self._moved

    def close(self) -> None:
        """Stop reading. A source that hangs is left to the end of the process."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _wait_for(self, number: int) -> Frame | None:
        """The latest frame if it is this one or a later one, now or within a second."""

        def is_there() -> bool:
            return self._fatal is not None or (self._frame is not None and self._frame.number >= number)

        with self._changed:
            there = self._changed.wait_for(is_there, _TICK)
            if self._fatal is not None:
                raise self._fatal
            return self._frame if there else None

    def _run(self) -> None:
        wait, failed = self._first_wait, False
        while not self._stop.is_set():
            try:
                with closing(self._source.pictures()) as pictures:
                    for picture in pictures:
                        if self._stop.is_set():
                            return
                        if failed:
                            self._say(f"{self._source.name} is back.")
                        wait, failed = self._first_wait, False
                        self._moved = time.monotonic()
                        frame = Frame(picture.name, self._read, time.time(), picture.pixels)
                        self._read += 1
                        with self._changed:
                            self._frame = frame
                            self._changed.notify_all()
                raise SourceError(f"{self._source.name} has ended.")
            except SourceError as error:
                self._say(f"{error.message.rstrip('.')}; trying again in {wait:g} s.")
            except Exception as error:  # a missing library, or a bug: raised where frames are taken
                return self._fail(error)
            failed = self._waiting = True
            self._stop.wait(wait)
            self._moved, self._waiting = time.monotonic(), False
            wait = min(2 * wait, LONGEST_WAIT)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._fatal = error
            self._changed.notify_all()
