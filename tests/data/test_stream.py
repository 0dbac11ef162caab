from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.core.errors import DataError, ImageError
from edgekit.data.dataset import open_dataset, require_labels
from edgekit.data.splits import stratified_split
from edgekit.data.stream import BadImages, map_images, map_ordered, readable

WriteImage = Callable[[Path, int], None]
PATIENCE = 30  # seconds until a test that would hang fails


def workers_alive() -> int:
    return sum(thread.name.startswith("edgekit-map") for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_results_come_in_order(workers: int | None) -> None:
    assert list(map_ordered(lambda number: number * number, range(100), workers)) == [n * n for n in range(100)]
    assert workers_alive() == 0


def test_order_is_kept_when_later_items_finish_first() -> None:
    second_is_done = threading.Event()

    def function(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(PATIENCE)
        if number == 1:
            second_is_done.set()
        return number

    assert list(map_ordered(function, range(5), workers=2)) == [0, 1, 2, 3, 4]


def test_nothing_to_do() -> None:
    assert list(map_ordered(str, [])) == []


def test_work_goes_on_while_the_caller_uses_a_result() -> None:
    started = [threading.Event() for _ in range(10)]

    def function(number: int) -> int:
        started[number].set()
        return number

    results = map_ordered(function, range(10), workers=2)
    assert next(results) == 0
    assert all(started[number].wait(PATIENCE) for number in range(1, 5))
    results.close()


def test_the_look_ahead_is_bounded() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = map_ordered(str, items(), workers=3)
    assert taken == 0
    for number in range(1, 200):
        assert next(results) == str(number)
        assert taken <= number + 2 * 3
    results.close()
    assert workers_alive() == 0


def test_an_exception_is_raised_at_its_place() -> None:
    def function(number: int) -> int:
        if number == 5:
            raise KeyError("five")
        return number

    results = map_ordered(function, range(1000), workers=4)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five"):
        next(results)
    assert list(results) == []
    assert workers_alive() == 0


class Numbered:
    """An item that can be seen to be dropped."""

    def __init__(self, number: int) -> None:
        self.number = number


def test_closing_cancels_what_has_not_begun() -> None:
    seen: list[weakref.ref[Numbered]] = []
    begun: list[int] = []

    def items() -> Iterator[Numbered]:
        for number in range(1000):
            item = Numbered(number)
            seen.append(weakref.ref(item))
            yield item

    def function(item: Numbered) -> int:
        begun.append(item.number)
        deadline = time.monotonic() + PATIENCE
        while item.number > 0 and seen[3]() is not None:  # the two that run last until the next is dropped
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return item.number

    results = map_ordered(function, items(), workers=2)
    assert next(results) == 0
    results.close()
    assert set(begun) <= {0, 1, 2}
    assert workers_alive() == 0


def test_an_interrupt_ends_the_process_soon(tmp_path: Path) -> None:
    program = """if True:
        import itertools, time
        from edgekit.data.stream import map_ordered

        def function(number):
            time.sleep(0.01)
            return number

        for number in map_ordered(function, itertools.count(), workers=2):
            if number == 20:
                print("running", flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               cwd=Path(__file__).parents[2])
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors


def test_no_bad_image_is_allowed_by_default() -> None:
    bad = BadImages()
    with pytest.raises(DataError, match="1 image cannot be read") as caught:
        bad.skip("cats/1.jpg", ImageError("It is empty.", "Remove it."))
    assert caught.value.message == "1 image cannot be read: cats/1.jpg. It is empty."
    assert "--max-bad" in caught.value.hint
    assert caught.value.exit_code == 2


def test_bad_images_are_remembered_up_to_the_limit() -> None:
    bad = BadImages(max_bad=4)
    for number in range(4):
        bad.skip(f"{number}.jpg", ImageError(f"{number}.jpg is empty.", "Remove it."))
    assert bad.skipped == [(f"{number}.jpg", f"{number}.jpg is empty.") for number in range(4)]
    with pytest.raises(DataError, match=r"5 images cannot be read: 0\.jpg, 1\.jpg, 2\.jpg, …\. 0\.jpg is empty"):
        bad.skip("4.jpg", ImageError("4.jpg is empty."))


def test_bad_names_are_safe_to_print() -> None:
    with pytest.raises(DataError) as caught:
        BadImages().skip("\x1b[31m.jpg", ImageError("\x1b[31m.jpg is empty."))
    assert "\x1b" not in str(caught.value)


@pytest.fixture
def damaged(tmp_path: Path, write_image: WriteImage) -> Path:
    """Ten images in two classes; a/2 is empty, a/4 is cut off, b/1 is text, b/3 is missing."""
    for number in range(10):
        write_image(tmp_path / "ab"[number % 2] / f"{number}.png", number)
    (tmp_path / "a" / "2.png").write_bytes(b"")
    (tmp_path / "a" / "4.png").write_bytes((tmp_path / "a" / "4.png").read_bytes()[:100])
    (tmp_path / "b" / "1.png").write_text("an image, once")
    (tmp_path / "b" / "3.png").unlink()
    lines = [f"{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(10)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["path,label", *lines]))
    return path


def sum_of(image: NDArray[np.uint8]) -> int:
    return int(image.sum())


def test_images_in_order_without_the_bad_ones(damaged: Path) -> None:
    dataset = open_dataset(damaged)
    bad = BadImages(max_bad=4)
    results = list(map_images(sum_of, dataset, bad, workers=3))
    assert results == [(index, sum_of(dataset.read(index))) for index in (0, 5, 6, 7, 8, 9)]
    assert [name for name, _ in bad.skipped] == ["b/1.png", "a/2.png", "b/3.png", "a/4.png"]
    assert all(name in message for name, message in bad.skipped)


@pytest.mark.parametrize("max_bad", [0, 3])
def test_more_bad_images_than_allowed_end_the_stream(damaged: Path, max_bad: int) -> None:
    results = map_images(sum_of, open_dataset(damaged), BadImages(max_bad), workers=2)
    with pytest.raises(DataError, match=rf"^{max_bad + 1} images? cannot be read: b/1\.png"):
        list(results)
    assert workers_alive() == 0


def test_one_count_over_several_passes(damaged: Path) -> None:
    dataset, bad = open_dataset(damaged), BadImages(max_bad=4)
    part = readable(dataset, bad)
    assert [name for name, _ in bad.skipped] == ["b/3.png"]
    assert [part.name(index) for index in range(3)] == ["a/0.png", "b/1.png", "a/2.png"]
    assert len(list(map_images(sum_of, part, bad))) == 6
    assert len(bad.skipped) == 4


def test_what_is_readable_can_be_split(damaged: Path) -> None:
    part = readable(open_dataset(damaged), BadImages(max_bad=1))
    parts = stratified_split(part, [0.5, 0.5], seed=0)
    assert sorted(parts[0] + parts[1]) == list(range(9))
    with pytest.raises(DataError, match=r"b/3\.png"):
        readable(open_dataset(damaged), BadImages())


def test_no_readable_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("path,label\n1.png,a\n2.png,b\n")
    dataset = open_dataset(tmp_path / "data.csv")
    with pytest.raises(DataError, match="no image that can be read"):
        list(map_images(sum_of, dataset, BadImages(max_bad=9)))
    with pytest.raises(DataError, match="no image that can be read"):
        readable(dataset, BadImages(max_bad=9))


def test_a_class_of_bad_images_only_is_empty(damaged: Path) -> None:
    dataset = open_dataset(damaged).subset([0, 1, 3, 6])
    good = dataset.subset([index for index, _ in map_images(sum_of, dataset, BadImages(max_bad=2))])
    with pytest.raises(DataError, match="no image of a class: b"):
        require_labels(good)


def test_the_orientation_is_passed_on(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "1.jpg", exif=exif)
    dataset = open_dataset(tmp_path)
    shapes = [next(map_images(np.shape, dataset, BadImages(), orientation=orientation))[1]
              for orientation in ("exif", "ignore")]
    assert shapes == [(16, 8, 3), (8, 16, 3)]


def test_an_error_in_the_function_is_not_a_bad_image(damaged: Path) -> None:
    def function(image: NDArray[np.uint8]) -> None:
        raise ImageError("a mistake of the caller")

    bad = BadImages(max_bad=10)
    with pytest.raises(ImageError, match="mistake of the caller"):
        list(map_images(function, open_dataset(damaged), bad))
    assert bad.skipped == []
