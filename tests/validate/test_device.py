"""What a device report says is checked again, and the gate decides by what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import DataError, SpecError
from edgekit.report import device_figures
from edgekit.runtime.selfcheck import Answer
from edgekit.validate.device import DeviceValidation, Throttling, validate_device_report
from tests import device_reports, models
from tests.device_reports import off_by, report, run, unavailable

Judge = Callable[..., DeviceValidation]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return device_reports.model(tmp_path_factory.mktemp("model") / "model.tflite")


@pytest.fixture
def judge(model: Path, tmp_path: Path) -> Judge:
    """Judge a report with these runs about the model."""

    def go(*runs: dict[str, Any], max_latency_ms: float | None = None, **changes: Any) -> DeviceValidation:
        path = device_reports.write(tmp_path / "report.json", report(model, *runs, **changes))
        return validate_device_report(model, path, max_latency_ms=max_latency_ms)

    return go


def test_right_answers_pass(judge: Judge) -> None:
    found = judge()
    assert found.judgement.outcome == "pass"
    assert found.judgement.reasons == ["cpu gives all 6 golden answers, and the camera path all 8 camera vectors."]
    assert (found.failed(strict=True), found.warnings) == (False, ())
    assert [each.correct for each in found.runs] == [True, False, False]


def test_a_wrong_delegate_that_was_not_chosen_is_a_warning(judge: Judge, model: Path) -> None:
    answers = device_reports.answers(model)
    found = judge(run("cpu", answers), run("gpu", off_by(answers, 0.07), "wrong"),
                  unavailable("nnapi", "crashed", "It ended the process."))
    assert found.judgement.outcome == "pass"
    assert found.warnings == (
        "gpu is wrong and was not chosen. 6 of 6 answers are wrong, by up to 0.07 (tolerance 0.05).",
        "nnapi crashed: It ended the process.",
    )


def test_a_fast_delegate_within_its_own_tolerance_passes(judge: Judge, model: Path) -> None:
    answers = device_reports.answers(model)
    found = judge(run("cpu", answers), run("gpu", off_by(answers, 0.03)), chosen="gpu")
    assert (found.judgement.outcome, found.warnings) == ("pass", ())


def test_an_ok_that_is_wrong_fails_and_is_called_a_contradiction(judge: Judge, model: Path) -> None:
    answers = device_reports.answers(model)
    chosen = judge(run("cpu", off_by(answers, 0.001)))
    assert chosen.failed(strict=False)
    assert chosen.judgement.reasons == ["The report contradicts itself: it calls cpu ok. "
                                        "6 of 6 answers are wrong, by up to 0.001 (tolerance 0.0001)."]
    other = judge(run("cpu", answers), run("nnapi", off_by(answers, 0.06)))
    assert other.failed(strict=False)
    assert "it calls nnapi ok" in other.judgement.reasons[0]


@pytest.mark.parametrize("status", ["wrong", "fallback", "crashed", "failed", "unavailable"])
def test_what_was_chosen_must_be_ok(judge: Judge, model: Path, status: str) -> None:
    answers = device_reports.answers(model)
    found = judge(run("cpu", answers), run("gpu", answers, status), chosen="gpu")
    assert found.judgement.reasons == [f"The report contradicts itself: it chose gpu, which it calls {status}."]
    assert found.failed(strict=False)


def test_no_right_delegate_fails(judge: Judge, model: Path) -> None:
    wrong = run("cpu", off_by(device_reports.answers(model), 0.5), "wrong")
    assert judge(wrong, chosen=None).judgement.reasons == ["No delegate is right."]
    assert judge(chosen=None).judgement.reasons == ["Nothing was chosen, although cpu is right."]
    assert judge(wrong, chosen=None).failed(strict=False)


def test_called_wrong_but_right_is_told(judge: Judge, model: Path) -> None:
    answers = device_reports.answers(model)
    found = judge(run("cpu", answers), run("gpu", answers, "wrong"))
    assert found.judgement.outcome == "pass"
    assert found.warnings == ("gpu: the report calls it wrong, but its answers are right",)


def test_wrong_camera_vectors_fail(judge: Judge) -> None:
    found = judge(camera={"vectors": 8, "wrong": [2, 5]})
    assert found.judgement.outcome == "fail"
    assert "for 2 of 8 camera vectors" in found.judgement.reasons[0]


def test_no_camera_vectors_prove_nothing(judge: Judge) -> None:
    found = judge(camera={"vectors": 0, "wrong": []})
    assert (found.judgement.outcome, found.failed(False), found.failed(True)) == ("inconclusive", False, True)


@pytest.mark.parametrize(("limit", "outcome"), [(1.25, "pass"), (1.2, "fail"), (None, "pass")])
def test_the_chosen_delegate_must_be_fast_enough(judge: Judge, limit: float | None, outcome: str) -> None:
    found = judge(max_latency_ms=limit)
    assert found.judgement.outcome == outcome
    if outcome == "fail":
        assert found.judgement.reasons == ["The median of cpu is 1.25 ms, above the limit of 1.2 ms."]


def test_what_was_not_timed_keeps_no_limit(judge: Judge, model: Path) -> None:
    untimed = run("cpu", device_reports.answers(model), inference_ms=None)
    assert judge(untimed).judgement.outcome == "pass"
    assert judge(untimed, max_latency_ms=5).judgement.reasons == ["The time of cpu was not measured."]


def test_throttling_is_told_and_does_not_fail(judge: Judge) -> None:
    found = judge(sustained=device_reports.sustained())
    assert found.judgement.outcome == "pass"
    assert found.throttling == Throttling("cpu", 600, 29.75, 21.25, "severe")
    assert judge(sustained=device_reports.sustained() | {"samples": []}).throttling is None


def test_a_verdict_that_is_no_pass_is_told(judge: Judge) -> None:
    assert judge(verdict="stale").warnings == ("the app says that the model's verdict is stale",)


def test_scores_of_other_labels_fail(judge: Judge, model: Path) -> None:
    answers = [Answer(one.input_sha256, one.scores[:2]) for one in device_reports.answers(model)]
    assert "It does not give 3 scores to every image." in judge(run("cpu", answers)).judgement.reasons[0]


def test_unclear_golden_answers_are_inconclusive(tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "m.tflite", clear=False, weights_scale=0.01)
    answers = device_reports.answers(path)
    document = report(path, run("cpu", answers), run("gpu", answers), chosen="gpu")
    found = validate_device_report(path, device_reports.write(tmp_path / "report.json", document))
    assert found.judgement.outcome == "inconclusive"
    assert "No golden answer leads by more than 0.1" in found.judgement.reasons[0]


def test_a_report_about_another_model_is_an_error(model: Path, tmp_path: Path) -> None:
    other = device_reports.model(tmp_path / "other.tflite", weights_scale=2)
    path = device_reports.write(tmp_path / "report.json", report(other))
    with pytest.raises(DataError, match=r"report\.json is about another model: other\.tflite with the digest"):
        validate_device_report(model, path)


def test_a_report_about_another_scheme_is_an_error(judge: Judge, model: Path) -> None:
    said = report(model)["model"] | {"scheme": "int8"}
    with pytest.raises(DataError, match=r"about a model of scheme int8; model\.tflite says that it is none"):
        judge(model=said)


def test_ok_without_answers_is_an_error(judge: Judge) -> None:
    with pytest.raises(DataError, match="answers other golden images"):
        judge(run("cpu", []))


def test_golden_answers_stamped_since_are_an_error(tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite", clear=False)
    before = device_reports.write(tmp_path / "report.json", report(path))
    device_reports.model(path)
    with pytest.raises(DataError, match="answers other golden images") as refused:
        validate_device_report(path, before)
    assert "stamped anew since" in refused.value.hint


@pytest.mark.parametrize("lacks", ["no edgekit spec", "no golden answers"])
def test_a_model_without_golden_answers_is_an_error(model: Path, tmp_path: Path, lacks: str) -> None:
    path = models.tflite(tmp_path / "bare.tflite", dtype="uint8")
    if lacks == "no golden answers":
        models.with_spec(path, models.spec("uint8"))
    with pytest.raises(SpecError, match=f"carries {lacks}"):
        validate_device_report(path, device_reports.write(tmp_path / "report.json", report(model)))


MACHINE = {"temperature_before": 45.5, "temperature_after": 61, "throttled": ["under-voltage"],
           "memory_mb": {"resident": 80.5, "peak": 97}}


def test_a_raspberry_pi_has_no_camera_vectors(judge: Judge, model: Path) -> None:
    timing = {"p50": 12.5, "p95": 14, "p99": 15, "runs": 100}
    one = run("litert", device_reports.answers(model), nodes=None, inference_ms=timing)
    found = judge(one, chosen="litert", platform="pi", camera={"vectors": 0, "wrong": []}, machine=MACHINE,
                  verdict="stale")
    assert found.judgement.outcome == "pass"
    assert found.judgement.reasons == ["litert gives all 6 golden answers."]
    assert found.warnings == ("the bundle says that the model's verdict is stale",)
    assert device_figures.measured(found) == [
        "temperature: 46 °C before, 61 °C after", "slowed down by: under-voltage", "memory: 80 MB, at most 97 MB"]


def test_a_raspberry_pi_is_judged_by_its_own_tolerances(judge: Judge, model: Path) -> None:
    answers = off_by(device_reports.answers(model), 5e-5)  # right for the app's CPU, not for LiteRT
    found = judge(run("litert", answers, nodes=None), chosen="litert", platform="pi")
    assert found.judgement.outcome == "fail"
    with pytest.raises(DataError, match="it must be one of litert, tflite-runtime, onnxruntime"):
        judge(platform="pi")
