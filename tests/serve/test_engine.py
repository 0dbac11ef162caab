"""Batches, the queue's bound, and the end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.errors import ImageError, ModelFileError
from edgekit.serve.engine import MAX_BATCH, Engine, EngineClosed, Outcome, QueueFull
from edgekit.serve.limits import Limits
from edgekit.serve.models import open_models
from tests import models
from tests.serve.conftest import encoded, png

WORKERS = 2


def engine(path: Path, **options: object) -> Engine:
    made = Engine(open_models([path]), workers=WORKERS, **options)  # type: ignore[arg-type]
    made.wait_until_ready()
    return made


@pytest.mark.parametrize("name", ["open.tflite", "fixed.tflite", "bytes.tflite", "graph.onnx"])
def test_every_image_of_a_crowd_gets_its_own_answer(served: Path, name: str) -> None:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (60, models.SIDE, models.SIDE, 3), np.uint8)
    running = engine(served / name)
    futures = [future for image in images for future in running.submit(Path(name).stem, [encoded(image)])]
    scores = np.stack([future.result(30).scores for future in futures])
    np.testing.assert_allclose(scores, [models.expected(image) for image in images], atol=1e-5)
    running.close()


@pytest.mark.parametrize(("name", "batched"), [("open.tflite", True), ("graph.onnx", True), ("fixed.tflite", False)])
def test_what_waits_is_run_in_batches_that_leave_other_workers_their_share(
    served: Path, name: str, batched: bool, slow_engine: Callable[[float], None]
) -> None:
    seen: list[int] = []
    running = engine(served / name, on_batch=lambda model, outcomes: seen.append(len(outcomes)))
    slow_engine(0.02)
    futures = running.submit(Path(name).stem, [png(9, 9, 9)] * 32)
    wait(futures)
    running.close()
    assert sum(seen) == 32
    assert max(seen) == (MAX_BATCH if batched else 1)
    assert {future.result().batch for future in futures} == set(seen)
    if batched:  # as fewer wait, each worker takes half of them
        assert min(seen) < MAX_BATCH


def test_images_that_take_long_are_not_batched(served: Path, slow_engine: Callable[[float], None]) -> None:
    slow_engine(0.05)  # from the beginning
    running = engine(served / "graph.onnx")
    outcomes = [future.result(30) for future in running.submit("graph", [png(9, 9, 9)] * 8)]
    assert {outcome.batch for outcome in outcomes} == {1}
    running.close()


def test_a_bad_image_in_a_batch_spoils_no_other(served: Path, slow_engine: Callable[[float], None]) -> None:
    running = engine(served / "open.tflite")
    slow_engine(0.02)
    broken = encoded(np.zeros((64, 64, 3), np.uint8))[:60]
    futures = running.submit("open", [png(200, 0, 0), broken] * 8)
    for number, future in enumerate(futures):
        if number % 2:
            assert isinstance(future.exception(30), ImageError)
        else:
            assert future.result(30).scores.argmax() == 0
    running.close()


def test_models_share_the_queue_and_are_not_mixed_up(files: list[Path]) -> None:
    running = Engine(open_models(files), workers=WORKERS)
    names, colours = [path.stem for path in files], [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    asked = [(names[number % 4], number % 3) for number in range(60)]
    futures = [running.submit(name, [png(*colours[colour])])[0] for name, colour in asked]
    assert [future.result(30).scores.argmax() for future in futures] == [colour for _, colour in asked]
    running.close()


def test_a_full_queue_takes_all_images_of_a_request_or_none(
    served: Path, slow_engine: Callable[[float], None]
) -> None:
    running = engine(served / "fixed.tflite", limits=Limits(waiting=4))
    slow_engine(0.2)
    taken = running.submit("fixed", [png(1, 1, 1)] * 3)
    with pytest.raises(QueueFull) as full:
        running.submit("fixed", [png(1, 1, 1)] * 2)
    assert 1 <= full.value.retry_after <= 60
    assert running.unfinished == 3
    taken += running.submit("fixed", [png(1, 1, 1)])
    wait(taken)
    assert running.unfinished == 0
    running.submit("fixed", [png(1, 1, 1)] * 4)
    running.close()


def test_who_gets_an_answer_can_ask_again_at_once(served: Path) -> None:
    running = engine(served / "fixed.tflite", limits=Limits(waiting=1))
    for _ in range(200):
        [future] = running.submit("fixed", [png(1, 1, 1)])  # never QueueFull
        future.result(30)
    running.close()


def test_closing_finishes_what_was_accepted(served: Path, slow_engine: Callable[[float], None]) -> None:
    running = engine(served / "fixed.tflite")
    slow_engine(0.02)
    futures = running.submit("fixed", [png(200, 0, 0)] * 20)
    running.close()
    assert all(future.done() and future.result().scores.argmax() == 0 for future in futures)
    with pytest.raises(EngineClosed):
        running.submit("fixed", [png(1, 1, 1)])
    assert not running.ready


def test_closing_does_not_wait_for_what_nobody_waits_for(
    served: Path, slow_engine: Callable[[float], None]
) -> None:
    running = engine(served / "fixed.tflite", limits=Limits(seconds=0.1))
    slow_engine(1.7)
    [future] = running.submit("fixed", [png(200, 0, 0)])
    time.sleep(0.1)
    begin = time.perf_counter()
    running.close()
    assert time.perf_counter() - begin < 1.4
    future.result(30)


def test_cancelled_images_are_not_run(served: Path, slow_engine: Callable[[float], None]) -> None:
    ran: list[int] = []
    running = engine(served / "fixed.tflite", on_batch=lambda model, outcomes: ran.append(len(outcomes)))
    slow_engine(0.1)
    futures = running.submit("fixed", [png(1, 1, 1)] * 10)
    cancelled = sum(future.cancel() for future in futures)
    running.close()
    assert cancelled >= 8
    assert sum(ran) == 10 - cancelled
    assert running.unfinished == 0


def test_its_threads_start_with_the_first_work(served: Path) -> None:
    before = threading.active_count()
    made = Engine(open_models([served / "fixed.tflite"]), workers=WORKERS)
    assert threading.active_count() == before
    assert not made.ready
    made.submit("fixed", [png(200, 0, 0)])[0].result(30)
    assert threading.active_count() == before + WORKERS
    made.close()
    assert threading.active_count() == before


def test_a_forked_server_works(served: Path) -> None:
    """As gunicorn does with an application that it has loaded before."""
    code = f"""
import os, sys
from edgekit.serve.engine import Engine
from edgekit.serve.models import open_models
engine = Engine(open_models([{str(served / "fixed.tflite")!r}]), workers=2)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
future = engine.submit("fixed", [{png(0, 200, 0)!r}])[0]
os._exit(0 if future.result(20).scores.argmax() == 1 else 1)
"""
    import subprocess
    import sys

    assert subprocess.run([sys.executable, "-c", code], timeout=60, env=os.environ).returncode == 0


def test_a_model_that_fails_when_loaded_is_told(served: Path, tmp_path: Path) -> None:
    [model] = open_models([served / "fixed.tflite"])
    moved = tmp_path / "fixed.tflite"
    moved.write_bytes(model.path.read_bytes()[:200])
    made = Engine([type(model)(model.name, moved, model.spec, model.sha256, model.platform)], workers=1)
    with pytest.raises(ModelFileError):
        made.wait_until_ready()
    with pytest.raises(ModelFileError):
        made.submit("fixed", [png(1, 1, 1)])


def test_a_model_that_fails_when_loaded_answers_all_but_those_who_left(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def fail(self: Engine, model: object) -> None:
        go_on.wait(30)
        raise ModelFileError("It is damaged.")

    monkeypatch.setattr(Engine, "_load", fail)
    made = Engine(open_models([served / "fixed.tflite"]), workers=1)
    left, waits = made.submit("fixed", [png(1, 1, 1)] * 2)
    left.cancel()
    go_on.set()
    assert isinstance(waits.exception(1), ModelFileError)
    made.close()
    assert made.unfinished == 0


def test_an_image_that_fills_the_memory_spoils_no_other(
    served: Path, slow_engine: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.runtime.classify import Classifier

    prepare = Classifier.prepare

    def fill(self: Classifier, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(image) > models.SIDE:
            raise MemoryError
        return prepare(self, image)

    monkeypatch.setattr(Classifier, "prepare", fill)
    running = engine(served / "open.tflite")
    slow_engine(0.02)
    futures = running.submit("open", [png(200, 0, 0), png(0, 0, 0, models.SIDE + 1)] * 8)
    for number, future in enumerate(futures):
        if number % 2:
            assert isinstance(future.exception(30), ImageError)
        else:
            assert future.result(30).scores.argmax() == 0
    running.close()


def test_a_failing_model_answers_with_its_error_and_the_worker_lives_on(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.runtime.classify import Classifier

    running = engine(served / "fixed.tflite")
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "scores", lambda self, tensors: 1 / 0)
        failed = running.submit("fixed", [png(1, 1, 1)])[0]
        assert isinstance(failed.exception(30), ZeroDivisionError)
    assert running.submit("fixed", [png(200, 0, 0)])[0].result(30).scores.argmax() == 0
    running.close()


def test_the_seconds_add_up(served: Path, slow_engine: Callable[[float], None]) -> None:
    running = engine(served / "fixed.tflite")
    slow_engine(0.05)
    begin = time.perf_counter()
    futures: list[Future[Outcome]] = running.submit("fixed", [png(1, 1, 1)] * 4)
    outcomes = [future.result(30) for future in futures]
    spent = time.perf_counter() - begin
    for outcome in outcomes:
        assert outcome.inference_seconds >= 0.05
        assert outcome.queue_seconds + outcome.prepare_seconds + outcome.inference_seconds <= spent
    assert max(outcome.queue_seconds for outcome in outcomes) >= 0.05
    running.close()
