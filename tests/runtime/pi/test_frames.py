from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from itertools import islice

import numpy as np
import pytest

from edgekit.runtime.errors import ImageError, RuntimeMissingError, SourceError
from edgekit.runtime.pi import frames as module
from edgekit.runtime.pi.frames import LatestFrame, all_frames
from edgekit.runtime.pi.pictures import Picture


class Scripted:
    """A source that does what it is told: each opening runs the next of the scripts, and then waits for ever."""

    name, live = "scripted", True

    def __init__(self, *scripts: Callable[[], Iterable[Picture]]) -> None:
        self._scripts = list(scripts)
        self.opened = 0
        self.released = threading.Event()

    def pictures(self) -> Generator[Picture]:
        self.opened += 1
        try:
            if self._scripts:
                yield from self._scripts.pop(0)()
            else:
                threading.Event().wait()
        finally:
            self.released.set()


def picture(value: int = 0) -> Picture:
    return Picture("scripted", np.full((2, 2, 3), value, np.uint8))


def values(count: int, start: int = 0) -> Callable[[], Iterable[Picture]]:
    return lambda: (picture(start + number) for number in range(count))


def fails(message: str = "The camera is gone.") -> Iterable[Picture]:
    raise SourceError(message)
    yield picture()


def ignore(message: str) -> None:
    pass


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_all_frames_of_what_ends() -> None:
    found = list(all_frames(Scripted(values(7)), every=3))
    assert [(frame.number, int(frame.pixels[0, 0, 0]), frame.dropped) for frame in found] == [
        (0, 0, 0), (3, 3, 0), (6, 6, 0)]


def test_the_latest_wins() -> None:
    go = threading.Event()

    def paced() -> Iterable[Picture]:
        yield picture(0)
        go.wait(10)
        yield from (picture(value) for value in range(1, 100))
        threading.Event().wait()

    latest = LatestFrame(Scripted(paced), ignore)
    found = latest.frames()
    first = next(found)
    assert first is not None
    assert (first.number, first.dropped) == (0, 0)
    go.set()
    wait_until(lambda: latest._read == 100)
    frame = next(found)
    assert frame is not None
    assert (frame.number, int(frame.pixels[0, 0, 0]), frame.dropped) == (99, 99, 98)


def test_every_nth_of_a_live_source() -> None:
    taken = threading.Semaphore(0)

    def paced() -> Iterable[Picture]:
        for value in range(10):
            yield picture(value)
            if value % 3 == 0:
                taken.acquire(timeout=10)
        threading.Event().wait()

    found = LatestFrame(Scripted(paced), ignore).frames(every=3)
    numbers = []
    for frame in islice(found, 4):
        assert frame is not None
        numbers.append(frame.number)
        taken.release()
    assert numbers == [0, 3, 6, 9]


def test_old_frames_are_let_go() -> None:
    alive: list[weakref.ref[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []

    def many() -> Iterable[Picture]:
        for value in range(50):
            made = picture(value)
            alive.append(weakref.ref(made.pixels))
            yield made
            del made
        threading.Event().wait()

    latest = LatestFrame(Scripted(many), ignore)
    wait_until(lambda: latest._read == 50)
    gc.collect()
    assert sum(reference() is not None for reference in alive) <= 3  # the slot, and what the reader's frames hold


def test_a_source_that_vanishes_and_comes_back() -> None:
    said: list[str] = []
    source = Scripted(values(2), fails, fails, values(1, start=7))
    latest = LatestFrame(source, said.append, first_wait=0.02)
    wait_until(lambda: latest._read == 3)
    assert said[:4] == [
        "scripted has ended; trying again in 0.02 s.",
        "The camera is gone; trying again in 0.04 s.",
        "The camera is gone; trying again in 0.08 s.",
        "scripted is back.",
    ]
    frame = next(latest.frames())
    assert frame is not None
    assert (frame.number, int(frame.pixels[0, 0, 0])) == (2, 7)


def test_the_waiting_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.01)
    said: list[str] = []
    latest = LatestFrame(Scripted(*[fails] * 5), said.append, first_wait=0.004)
    wait_until(lambda: len(said) == 5)
    assert [message.partition("again in ")[2] for message in said] == [
        "0.004 s.", "0.008 s.", "0.01 s.", "0.01 s.", "0.01 s."]
    latest.close()


def test_a_second_without_a_frame() -> None:
    latest = LatestFrame(Scripted(), ignore)
    begin = time.monotonic()
    assert next(latest.frames()) is None
    assert 0.9 < time.monotonic() - begin < 5
    assert latest.stuck_seconds() > 0.9  # it hangs in a read


def test_waiting_on_purpose_is_not_being_stuck() -> None:
    said: list[str] = []
    latest = LatestFrame(Scripted(fails), said.append, first_wait=30)
    wait_until(lambda: bool(said))
    time.sleep(0.05)
    assert latest.stuck_seconds() == 0


def test_what_cannot_be_repaired_ends_it() -> None:
    def missing() -> Iterable[Picture]:
        raise RuntimeMissingError("OpenCV is not installed.")
        yield picture()

    def broken() -> Iterable[Picture]:
        raise ZeroDivisionError
        yield picture()

    with pytest.raises(RuntimeMissingError):
        next(LatestFrame(Scripted(missing), ignore).frames())
    with pytest.raises(ZeroDivisionError):
        next(LatestFrame(Scripted(broken), ignore).frames())


def test_closing_releases_the_source() -> None:
    def endless() -> Iterable[Picture]:
        while True:
            yield picture()
            time.sleep(0.001)

    source = Scripted(endless)
    latest = LatestFrame(source, ignore)
    next(latest.frames())
    latest.close()
    assert source.released.wait(5)


def test_errors_of_images_end_what_is_read_in_order() -> None:
    def bad() -> Iterable[Picture]:
        raise ImageError("x.png is damaged.")
        yield picture()

    with pytest.raises(ImageError):
        list(all_frames(Scripted(bad)))
