"""Candidates are made and measured here: in child processes, as many at a time as there are cores; time is taken alone.

What is measured is kept in the folder of the search, so that one that was stopped does not do it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import child, files, probe
from edgekit.core.errors import ChildCrashed, ChildLimit, EdgekitError, MissingExtraError
from edgekit.optimize import sensitivity
from edgekit.optimize.material import Core, Material
from edgekit.quantize.plan import LEARNED, Plan
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.classify import Classifier
from edgekit.validate.layer_names import keras_classes
from edgekit.validate.optimized import CRASHED, FAILED, OK, UNFIT, Row, Sensitivity
from edgekit.validate.score import timed
from edgekit.validate.statistics import compare

MAKE = "edgekit.optimize.candidate:make"
SLOWEST = "int16x8"  # of all by far; begun first, so that no core waits for it at the end
TIMEOUT = 1800.0  # seconds for a candidate, which usually takes some
MEMORY = 8 << 30  # bytes, and four times the model on top


class Bench:
    """Measures plans.

    Args:
        latencies: milliseconds by a plan's name, taken instead of measuring them.
        on_event: called, by one thread at a time, with {"begun": name}, then {"scored": Row}, then {"row": Row}
            with the latency, too.
    """

    def __init__(
        self,
        material: Material,
        latencies: Mapping[str, float],
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> None:
        self.material = material
        self.trained: Core | None = None  # the core of the model after quantization-aware training
        self.workers = os.cpu_count() or 1
        self.unknown: list[str] = []  # names that `latencies` should have had
        self._memory = MEMORY + 4 * material.core.path.stat().st_size
        self._latencies, self._on_event, self._lock = latencies, on_event, threading.Lock()

    def path(self, plan: Plan) -> Path:
        """Where the candidate lies once it is made."""
        key = hashlib.sha256(json.dumps(plan.to_json(), sort_keys=True).encode()).hexdigest()[:16]
        return self.material.folder / f"row-{key}{self.material.core.path.suffix}"

    def measure(self, plans: Sequence[Plan]) -> list[Row]:
        """One row for each plan, in their order. A candidate that fails or crashes is a row that says so.

        Raises:
            MissingExtraError: a package that all of them need is not installed.
        """
        rows = {plan: row for plan in plans if (row := self._saved(plan)) is not None}
        for row in rows.values():
            self._tell(scored=row)
        left = sorted(set(plans) - set(rows), key=lambda plan: (plan.scheme != SLOWEST, plans.index(plan)))
        stop = child.Stop()
        executor = ThreadPoolExecutor(self.workers, "edgekit-candidate")
        try:
            jobs = {executor.submit(self._make, plan, stop): plan for plan in left}
            for job in as_completed(jobs):
                rows[jobs[job]] = job.result()
                self._save(jobs[job], job.result())
                self._tell(scored=job.result())
        finally:
            stop.stop()
            executor.shutdown(wait=True, cancel_futures=True)
        if any(self._lacks_latency(row) for row in rows.values()):
            self._tell(stage="Measuring latencies")
        return [self._timed(plan, rows[plan]) for plan in plans]

    def rank(self, plan: Plan) -> list[Sensitivity]:
        """How sensitive each layer is to a plan of scheme int8, the worst first."""
        of, saved = self.material, self.path(plan).with_suffix(".layers")
        with suppress(OSError, ValueError, TypeError):
            return [Sensitivity(**layer) for layer in json.loads(saved.read_text("utf-8"))]
        self._tell(stage="Measuring how sensitive each layer is")
        core, statistics = of.core.path, of.core.statistics
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            if plan.equalize or plan.correct_bias:
                core, statistics = Path(folder) / of.core.path.name, Path(folder) / "statistics.npz"
                child.call(
                    "edgekit.optimize.candidate:repair",
                    timeout=TIMEOUT,
                    memory=self._memory,
                    purpose=f"Repairing for {plan.name}",
                    plan=plan.to_json(),
                    core=str(of.core.path),
                    statistics=str(of.core.statistics),
                    spec=str(of.core.spec),
                    calibration=str(of.calibration),
                    target=folder,
                )
            source = of.core.source
            classes = keras_classes(source) if modelfile.sniff(source) == "keras" else None
            found = sensitivity.rank(
                plan, core, statistics, of.core.spec, of.calibration, classes, self._memory,
                lambda layer: self._tell(layer=layer),
            )
        files.write_text(saved, json.dumps([dataclasses.asdict(layer) for layer in found]))
        return found

    def _make(self, plan: Plan, stop: child.Stop) -> Row:
        of, target = self.material, self.path(plan)
        core = self.trained if plan.ranges == LEARNED and self.trained is not None else of.core
        scores = target.with_suffix(".npy")
        self._tell(begun=plan.name)
        try:
            unfit: str = child.call(
                MAKE,
                timeout=TIMEOUT,
                memory=self._memory,
                purpose="Making it",
                stopped_by=stop,
                plan=plan.to_json(),
                core=str(core.path),
                statistics=str(core.statistics),
                learned=str(core.learned),
                spec=str(core.spec),
                source=str(core.source),
                calibration=str(of.calibration),
                calibration_sha256=of.chosen.sha256,
                io=of.io,
                step=f"{of.step}: {plan.name}",
                selection=str(of.selection),
                device=of.device,
                target=str(target),
                scores=str(scores),
            )
            parity = compare(of.reference, np.load(scores), of.truth)
            scores.unlink()
        except MissingExtraError:
            raise
        except EdgekitError as error:
            crashed = isinstance(error, ChildCrashed | ChildLimit)
            reason = f"{error.message} {error.hint if crashed else ''}".strip()  # the last words of a library
            return Row(plan, plan.name, CRASHED if crashed else FAILED, reason)
        return Row(
            plan,
            plan.name,
            UNFIT if unfit else OK,
            unfit,
            size_bytes=target.stat().st_size,
            top1=parity.candidate_top1,
            drop=parity.drop,
            agreement=parity.agreement,
            mean_difference=parity.mean_difference,
        )

    def _timed(self, plan: Plan, row: Row) -> Row:
        if row.status == OK and plan.name in self._latencies:
            row = dataclasses.replace(row, latency_ms=self._latencies[plan.name])
        elif self._lacks_latency(row):
            if self._latencies:
                self.unknown.append(plan.name)
            classifier = Classifier(self.path(plan))
            image = np.load(self.material.selection, mmap_mode="r")[0]
            times = timed(classifier, preprocess.to_tensor(image, classifier.spec))
            row = dataclasses.replace(row, latency_ms=float(np.median(times)))
            self._save(plan, row)
        self._tell(row=row)
        return row

    def _lacks_latency(self, row: Row) -> bool:
        return row.status == OK and row.latency_ms is None and row.name not in self._latencies

    def _tell(self, **event: Any) -> None:
        with self._lock:
            self._on_event(event)

    def _save(self, plan: Plan, row: Row) -> None:
        if self.path(plan).exists():
            probe.mark_vetted(self.path(plan))
        files.write_text(self.path(plan).with_suffix(".json"), json.dumps(dataclasses.asdict(row)))

    def _saved(self, plan: Plan) -> Row | None:
        """The row of an earlier run. What failed there is tried again: the machine may have been the reason."""
        try:
            found = json.loads(self.path(plan).with_suffix(".json").read_text("utf-8"))
            row = Row(**{**found, "plan": Plan.from_json(found["plan"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return row if row.plan == plan and row.status in (OK, UNFIT) and self.path(plan).is_file() else None
