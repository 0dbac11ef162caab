"""Read a device report: what the self-test of the app found on a device. docs/device-report.md describes it.

The file comes from a device, so nothing in it is believed: its size is bounded, every field has a type and a range,
and what is not described is refused. `edgekit.validate.device` judges it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.runtime.documents import DocumentReader
from edgekit.runtime.selfcheck import Answer
from edgekit.runtime.spec import MAX_LABELS, SCHEMES, printable
from edgekit.runtime.tolerance import DELEGATES, RUNTIMES

VERSION = 1
MAX_BYTES = 32 << 20
MAX_TEXT = 500  # characters
MAX_ANSWERS = 16
MAX_VECTORS = 1000
MAX_SAMPLES = 10_000
MAX_NUMBER = 1e9
TIME = "%Y-%m-%dT%H:%M:%SZ"
# No field has a line break or another control character. Direction-changing ones are dealt with where text is shown.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# By platform: what may compute answers there.
PLATFORMS = {"android": DELEGATES, "pi": RUNTIMES}
VERDICTS = ("pass", "fail", "inconclusive", "stale", "none")
STATUSES = ("ok", "wrong", "fallback", "crashed", "failed", "unavailable")
# Android's thermal statuses (PowerManager), by heat.
THERMAL = ("unknown", "none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


@dataclass(frozen=True)
class Device:
    """The device: its name, its system with version, its ABI, its chip where it is known."""

    name: str
    system: str
    abi: str
    soc: str


@dataclass(frozen=True)
class App:
    """What wrote the report."""

    id: str
    version: str


@dataclass(frozen=True)
class Model:
    """The model that was tested: its name, its digest (`edgekit.runtime.modelfile.digest`) and its scheme."""

    name: str
    sha256: str
    scheme: str


@dataclass(frozen=True)
class Camera:
    """How many camera vectors were checked, and which, counted from 0, gave other bytes than the reference."""

    vectors: int
    wrong: tuple[int, ...]


@dataclass(frozen=True)
class Nodes:
    """How many of the model's nodes a delegate took."""

    delegated: int
    total: int


@dataclass(frozen=True)
class Timing:
    """Percentiles, in milliseconds, of so many runs after warming up; an app measures no 99th."""

    p50: float
    p95: float
    runs: int
    p99: float | None = None


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile, in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True)
class ReportedAnswer:
    """What a delegate made of one golden image; `scores` as in `edgekit.runtime.spec.Golden`."""

    input_sha256: str
    scores: str

    def answer(self) -> Answer:
        """The answer, for `edgekit.runtime.selfcheck.check_answers`."""
        return Answer(self.input_sha256, np.frombuffer(base64.b64decode(self.scores), "<f4"))


@dataclass(frozen=True)
class Run:
    """The self-test of one delegate. `answers` are in the order of the golden answers; empty where it gave none."""

    delegate: str
    threads: int
    status: str
    detail: str
    nodes: Nodes | None
    load_ms: float | None
    inference_ms: Timing | None
    answers: tuple[ReportedAnswer, ...] = field(metadata={"json": False})


@dataclass(frozen=True)
class Live:
    """Timing of the camera screen."""

    delegate: str
    seconds: float
    frames: int
    dropped: int
    fps: float
    preprocess_ms: Spread
    inference_ms: Spread
    total_ms: Spread


@dataclass(frozen=True)
class Sample:
    """One moment of a sustained run: frames a second and median milliseconds since the last one, and the heat.

    `inference_ms` is None where there was no frame.
    """

    second: int
    fps: float
    inference_ms: float | None
    thermal: str


@dataclass(frozen=True)
class Sustained:
    """A run of minutes, sampled in regular intervals."""

    delegate: str
    seconds: float
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Memory:
    """The program's resident memory at the end, and its peak, in MB."""

    resident: float
    peak: float


@dataclass(frozen=True)
class Machine:
    """The state of a Raspberry Pi: degrees Celsius before and after, what slows it down now or has since its start."""

    temperature_before: float | None
    temperature_after: float | None
    throttled: tuple[str, ...] | None
    memory_mb: Memory | None


@dataclass(frozen=True)
class DeviceReport:
    """The whole report; `created` is in UTC, as in 2026-11-26T12:00:00Z. `chosen` is the delegate that the app uses."""

    created: str
    platform: str
    device: Device
    app: App
    runtime: str
    model: Model
    verdict: str
    camera: Camera
    runs: tuple[Run, ...] = field(metadata={"json": False})
    chosen: str | None
    live: Live | None
    sustained: Sustained | None
    machine: Machine | None = None


_READER = DocumentReader("device report", DataError, MAX_SAMPLES)


def read_device_report(path: Path) -> DeviceReport:
    """Read and check a device report.

    Raises:
        DataError: it cannot be read, is too large, no JSON, of another version, or no valid report; the message names
            the file and the field.
    """
    name = printable(str(path))
    try:
        if not path.is_file():
            raise DataError(f"{name} is not a file." if path.exists() else f"{name} does not exist.")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{name} cannot be read: {reason}.") from None
    try:
        return parse(content)
    except DataError as error:
        raise DataError(f"{printable(path.name)}: {error.message}", error.hint) from None


def parse(content: bytes) -> DeviceReport:
    """Check the bytes of a device report.

    Raises:
        DataError: as for `read_device_report`, without the file's name.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"The device report is larger than {MAX_BYTES >> 20} MB.")
    try:
        document = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error))[:100] or type(error).__name__
        raise DataError(f"The device report is not valid JSON: {reason}.",
                        "Share or pull the file again; it may have been cut off.") from None
    if not isinstance(document, dict) or "edgekit_device_report" not in document:
        raise DataError("This is no device report of edgekit: it does not say \"edgekit_device_report\".")
    version = document.pop("edgekit_device_report")
    if type(version) is not int or version != VERSION:
        raise DataError(f"The device report has version {str(version)[:20]!r}; this edgekit reads version {VERSION}.",
                        "Use the edgekit that packaged the app, or a newer one.")
    report = typing.cast(DeviceReport, _READER.build(DeviceReport, document))
    for complaint in _complaints(report):
        raise DataError(f"The device report does not hold together: {complaint}.")
    return report


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands in it twice means one thing to one reader and another to the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _complaints(report: DeviceReport) -> Iterator[str]:
    """What is out of range, or does not fit together."""
    yield from _bad_values(report, "")
    delegates_there = PLATFORMS.get(report.platform, ())
    if not _is_time(report.created):
        yield "created is not a time in UTC such as 2026-11-26T12:00:00Z"
    for name, value, allowed in (
        ("platform", report.platform, tuple(PLATFORMS)),
        ("model.scheme", report.model.scheme, SCHEMES),
        ("verdict", report.verdict, VERDICTS),
        *((f"runs[{index}].delegate", run.delegate, delegates_there) for index, run in enumerate(report.runs)),
        *((f"runs[{index}].status", run.status, STATUSES) for index, run in enumerate(report.runs)),
        *((f"{part}.delegate", found.delegate, delegates_there)
          for part, found in (("live", report.live), ("sustained", report.sustained)) if found is not None),
        *((f"sustained.samples[{index}].thermal", sample.thermal, THERMAL)
          for index, sample in enumerate(report.sustained.samples if report.sustained else ())),
    ):
        if value not in allowed:
            yield f"{name} is {printable(value)[:40]!r}; it must be one of {', '.join(allowed)}"
    delegates = [run.delegate for run in report.runs]
    if not delegates or len(set(delegates)) != len(delegates):
        yield "runs must have every delegate once, and at least one"
    if report.chosen is not None and report.chosen not in delegates:
        yield "chosen is not the delegate of any run"
    wrong, vectors = report.camera.wrong, report.camera.vectors
    if vectors > MAX_VECTORS or any(not 0 <= index < vectors for index in wrong) or len(set(wrong)) != len(wrong):
        yield f"camera.wrong must name some of camera.vectors, at most {MAX_VECTORS}, each once"
    for index, run in enumerate(report.runs):
        if run.nodes is not None and run.nodes.delegated > run.nodes.total:
            yield f"runs[{index}].nodes has more delegated nodes than there are"
        if len(run.answers) > MAX_ANSWERS:
            yield f"runs[{index}] has more than {MAX_ANSWERS} answers"
        if not all(_is_scores(answer.scores) for answer in run.answers):
            yield f"runs[{index}].answers has scores that are not base64 of 2 to {MAX_LABELS} float32 numbers"
    if report.sustained is not None:
        seconds = [sample.second for sample in report.sustained.samples]
        if sorted(set(seconds)) != seconds:
            yield "sustained.samples are not in the order of time"


def _bad_values(value: Any, name: str) -> Iterator[str]:
    """Strings and numbers that no field may hold, wherever they are."""
    if is_dataclass(value):
        for part in fields(value):
            yield from _bad_values(getattr(value, part.name), f"{name}.{part.name}".removeprefix("."))
        if isinstance(value, (Timing, Spread)) and value.p50 > value.p95:
            yield f"{name}.p50 is above p95"
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _bad_values(item, f"{name}[{index}]")
    elif isinstance(value, (int, float)):
        if not 0 <= value <= MAX_NUMBER:
            yield f"{name} is not between 0 and {MAX_NUMBER:g}"
    elif isinstance(value, str):
        field_name = name.rpartition(".")[2]
        if field_name in ("sha256", "input_sha256"):
            if not re.fullmatch("[0-9a-f]{64}", value):
                yield f"{name} is not a SHA-256 digest in lower-case hexadecimal"
        elif field_name != "scores" and (len(value) > MAX_TEXT or _CONTROL.search(value)):
            yield f"{name} is longer than {MAX_TEXT} characters, or has control characters"


def _is_time(text: str) -> bool:
    try:
        return datetime.strptime(text, TIME).strftime(TIME) == text  # strptime also takes numbers of one digit
    except ValueError:
        return False


def _is_scores(text: str) -> bool:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(text) % 4 == 0 and len(content) % 4 == 0 and 2 <= len(content) // 4 <= MAX_LABELS
