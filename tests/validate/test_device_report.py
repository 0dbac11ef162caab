"""A device report is read whole or refused with the field's name; the JSON Schema says the same."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from edgekit.core.errors import DataError
from edgekit.validate import device_report as module
from edgekit.validate.device_report import MAX_BYTES, DeviceReport, Sample, Timing, parse, read_device_report
from tests import device_reports

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "device-report.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = device_reports.model(tmp_path_factory.mktemp("model") / "model.tflite")
    return device_reports.report(path, live=device_reports.live(), sustained=device_reports.sustained())


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the field at `path` ("runs.0.status") set, or removed where the value is Ellipsis."""
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    at: Any = document
    for key in parents:
        at = at[int(key) if isinstance(at, list) else key]
    if value is ...:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return document


def read(document: Any) -> DeviceReport:
    return parse(json.dumps(document).encode())


def test_a_report_is_read(full: dict[str, Any], tmp_path: Path) -> None:
    found = read_device_report(device_reports.write(tmp_path / "report.json", full))
    assert (found.device.system, found.model.scheme, found.chosen) == ("Android 15 (API 35)", "none", "cpu")
    assert found.runs[0].inference_ms == Timing(1.25, 2.0, 50)
    assert found.runs[0].answers[0].answer().scores.shape == (3,)
    assert found.runs[1].answers == ()
    assert found.sustained is not None
    assert found.sustained.samples[1] == Sample(300, 25.0, 14.5, "severe")
    assert VALIDATOR.is_valid(full)


def test_null_where_it_is_allowed(full: dict[str, Any]) -> None:
    document = full | {"live": None, "sustained": None, "chosen": None}
    assert read(document).live is None
    assert VALIDATOR.is_valid(document)


SAID_BY_THE_SCHEMA = [
    ("edgekit_device_report", 2, "has version '2'; this edgekit reads version 1"),
    ("edgekit_device_report", True, "has version 'True'"),
    ("created", "yesterday", "created is not a time"),
    ("created", "2026-11-26 12:00:00", "created is not a time"),
    ("created", "2026-1-6T1:2:3Z", "created is not a time"),
    ("platform", "toaster", "platform is 'toaster'; it must be one of android"),
    ("device.name", 5, "device.name is not a string"),
    ("device.name", "a\x1b[2Jb", "device.name is longer than 500 characters, or has control characters"),
    ("device.name", "a\nb", "device.name is longer"),
    ("device.name", "a\x9bb", "device.name is longer"),
    ("device.name", "a\u2028b", "device.name is longer"),
    ("device.name", "x" * 501, "device.name is longer than 500"),
    ("device.imei", "1", "device has an unknown field 'imei'"),
    ("app", None, "app is not an object"),
    ("model.sha256", "AB" * 32, "model.sha256 is not a SHA-256 digest"),
    ("model.sha256", "", "model.sha256 is not a SHA-256 digest"),
    ("model.scheme", "int4", "model.scheme is 'int4'"),
    ("verdict", "great", "verdict is 'great'"),
    ("camera.vectors", -1, "camera.vectors is not between 0 and 1e+09"),
    ("camera.vectors", 1001, "camera.wrong must name some of camera.vectors, at most 1000"),
    ("camera.vectors", 8.5, "camera.vectors is not a whole number"),
    ("camera.wrong", [1, 1], "camera.wrong must name some"),
    ("camera.wrong", {"0": 1}, "camera.wrong is not a list"),
    ("runs", [], "runs must have every delegate once, and at least one"),
    ("runs", "cpu", "runs is not a list"),
    ("runs.0.delegate", "tpu", "runs[0].delegate is 'tpu'"),
    ("runs.0.status", "fine", "runs[0].status is 'fine'"),
    ("runs.0.status", ..., "runs[0] lacks the field 'status'"),
    ("runs.0.nodes", ..., "runs[0] lacks the field 'nodes'"),
    ("runs.0.threads", 10**10, "runs[0].threads is not between 0 and 1e+09"),
    ("runs.0.load_ms", -0.5, "runs[0].load_ms is not between"),
    ("runs.0.load_ms", "3", "runs[0].load_ms is not a finite number"),
    ("runs.0.load_ms", 1e300, "runs[0].load_ms is not between"),
    ("runs.0.inference_ms", {"p50": 1, "p95": 2}, "runs[0].inference_ms lacks the field 'runs'"),
    ("runs.0.answers.0.scores", "AAAA", "runs[0].answers has scores that are not base64"),
    ("runs.0.answers.0.scores", "not base64!!", "runs[0].answers has scores that are not base64"),
    ("runs.0.answers.0.input_sha256", "0" * 63, "runs[0].answers[0].input_sha256 is not a SHA-256 digest"),
    ("chosen", "tpu", "chosen is not the delegate of any run"),
    ("live.fps", True, "live.fps is not a finite number"),
    ("live.delegate", "x", "live.delegate is 'x'"),
    ("sustained.samples.0.thermal", "hot", "sustained.samples[0].thermal is 'hot'"),
    ("sustained.samples.0.second", 1.5, "sustained.samples[0].second is not a whole number"),
    ("extra", 1, "document has an unknown field 'extra'"),
    ("live", ..., "document lacks the field 'live'"),
]
NOT_SAID_BY_IT = [
    ("created", "2026-13-26T12:00:00Z", "created is not a time"),
    ("camera.wrong", [8], "camera.wrong must name some of camera.vectors"),
    ("runs.1.delegate", "cpu", "runs must have every delegate once"),
    ("runs.0.nodes.delegated", 6, "runs[0].nodes has more delegated nodes than there are"),
    ("runs.0.inference_ms.p50", 3, "runs[0].inference_ms.p50 is above p95"),
    ("runs.0.answers.0.scores", "AAAAAAAAAAAAAAAAAA==", "runs[0].answers has scores that are not base64"),
    ("sustained.samples.2.second", 300, "sustained.samples are not in the order of time"),
    ("live.total_ms.p95", 1, "live.total_ms.p50 is above p95"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), SAID_BY_THE_SCHEMA + NOT_SAID_BY_IT)
def test_what_is_wrong_is_refused_by_name(full: dict[str, Any], path: str, value: Any, complaint: str) -> None:
    document = changed(full, path, value)
    with pytest.raises(DataError) as refused:
        read(document)
    assert complaint in refused.value.message
    assert refused.value.message.isprintable()
    assert not VALIDATOR.is_valid(document) or (path, value, complaint) in NOT_SAID_BY_IT


@pytest.mark.parametrize(("content", "complaint"), [
    (b"", "is not valid JSON"),
    (b"\xff\xfe{\x00}\x00", "is not valid JSON"),
    (b"{" * 100_000, "is not valid JSON"),
    (b'{"a":' * 100_000, "is not valid JSON"),
    (b"[" * 100_000, "is not valid JSON"),
    (b"9" * 5000, "is not valid JSON"),
    (b'{"edgekit_device_report": NaN}', "NaN is not a number of JSON"),
    (b'{"edgekit_device_report": -Infinity}', "-Infinity is not a number of JSON"),
    (b'{"edgekit_device_report": 1, "edgekit_device_report": 2}', "a name stands twice in an object"),
    (b"[]", "This is no device report of edgekit"),
    (b"{}", "This is no device report of edgekit"),
    (b"null", "This is no device report of edgekit"),
])
def test_what_is_no_report_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError) as refused:
        parse(content)
    assert complaint in refused.value.message


def test_a_number_too_large_for_a_float_is_refused(full: dict[str, Any]) -> None:
    text = json.dumps(full).replace('"load_ms": 3.5', '"load_ms": 1e999')
    with pytest.raises(DataError, match=re.escape("runs[0].load_ms is not a finite number")):
        parse(text.encode())


def test_more_answers_than_a_spec_can_have_are_refused(full: dict[str, Any]) -> None:
    document = changed(full, "runs.0.answers", full["runs"][0]["answers"][:1] * 17)
    with pytest.raises(DataError, match="more than 16 answers"):
        read(document)
    assert not VALIDATOR.is_valid(document)


def places(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields and entries in a document."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield f"{path}{key}"
        yield from places(item, f"{path}{key}.")


def test_any_value_anywhere_is_read_or_refused(full: dict[str, Any]) -> None:
    random = Random(0)
    values: list[Any] = [None, True, -1, 0, 2**63, 0.5, -0.0, 1e308, 10**400, "", "cpu", "\ud800", "\0", "\u202e",
                         [], [[]], {}, {"": {}}, [None] * 20_000]
    for path in places(full):
        for value in random.sample(values, 6):
            document = changed(full, path, value)
            with contextlib.suppress(DataError):
                read(document)
                assert VALIDATOR.is_valid(document), path


def test_cut_off_anywhere_it_is_refused(full: dict[str, Any]) -> None:
    content = json.dumps(full).encode()
    for end in range(0, len(content), 97):
        with pytest.raises(DataError):
            parse(content[:end])


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(DataError, match=f"report.json: .* larger than {MAX_BYTES >> 20} MB"):
        read_device_report(path)


@pytest.mark.parametrize("name", ["missing.json", ".", "pipe", "null\0"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError):
        read_device_report(tmp_path / name)


def test_the_schema_has_the_same_names() -> None:
    run, sample = SCHEMA["$defs"]["run"]["properties"], SCHEMA["properties"]["sustained"]["properties"]["samples"]
    assert list(run["status"]["enum"]) == list(module.STATUSES)
    assert list(sample["items"]["properties"]["thermal"]["enum"]) == list(module.THERMAL)
    assert list(SCHEMA["properties"]["verdict"]["enum"]) == list(module.VERDICTS)
    text = (DOCS / "device-report.md").read_text(encoding="utf-8")
    for name in (*SCHEMA["properties"], *run, *SCHEMA["properties"]["live"]["properties"], *module.STATUSES,
                 *module.THERMAL, *module.VERDICTS):
        assert f"`{name}`" in text, name
