"""`edgekit validate --device-report`: did the model answer right on the device?

The report's own verdicts are not believed: the answers in it are checked again here, against the golden answers of
the candidate and with today's tolerances. It fails when nothing was chosen, or what was chosen is wrong or too slow,
when the camera path gives other bytes than the reference, or when the report says that a delegate is right whose
answers are wrong. It is inconclusive when what was checked proves too little. A delegate that is wrong, but was not
chosen, is what the self-test is for: a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import DataError, SpecError
from edgekit.runtime import modelfile
from edgekit.runtime.selfcheck import AnswerCheck, check_answers
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.validate.device_report import THERMAL, DeviceReport, Run, read_device_report
from edgekit.validate.gate import FAIL, INCONCLUSIVE, PASS, Judgement


@dataclass(frozen=True)
class JudgedRun:
    """One delegate: what the report says about it, and what its answers say.

    `check` is None where it gave no answers. `correct`: it may be used, since its status is ok and its answers are.
    """

    run: Run
    check: AnswerCheck | None
    correct: bool


@dataclass(frozen=True)
class Throttling:
    """How a sustained run began and ended, in frames a second, and the worst thermal status on the way."""

    delegate: str
    seconds: float
    fps_at_start: float
    fps_at_end: float
    thermal: str


@dataclass(frozen=True)
class DeviceValidation:
    """The outcome; `warnings` are what the user should know whatever it is."""

    path: Path
    candidate: Path
    report: DeviceReport
    runs: tuple[JudgedRun, ...]
    throttling: Throttling | None
    judgement: Judgement
    warnings: tuple[str, ...]

    def failed(self, strict: bool) -> bool:
        """Whether the gate says no; strictly, also when it is not proven that all is right."""
        return self.judgement.outcome == FAIL or (strict and self.judgement.outcome != PASS)


def validate_device_report(candidate: Path, path: Path, *, max_latency_ms: float | None = None) -> DeviceValidation:
    """Judge a device report about a model.

    Args:
        candidate: the model file that the report is about, with its spec and golden answers.
        path: the report.
        max_latency_ms: the most median milliseconds of the chosen delegate; None: not checked.

    Raises:
        DataError: the report is no valid one, or about another model.
        ModelFileError, SpecError: the model file cannot be read, or has no golden answers.
    """
    spec = checkable_spec(candidate)
    report = read_device_report(path)
    digest = modelfile.digest(candidate)
    if report.model.sha256 != digest:
        raise DataError(
            f"{printable(path.name)} is about another model: {_text(report.model.name)} with the digest "
            f"{report.model.sha256[:12]}…; {printable(candidate.name)} has {digest[:12]}….",
            "Name the model file that was packaged, or test this one on the device.")
    if report.model.scheme != spec.scheme:
        raise DataError(f"{printable(path.name)} is about a model of scheme {report.model.scheme}; "
                        f"{printable(candidate.name)} says that it is {spec.scheme}.",
                        "Test the model file again on the device.")
    inputs = [golden.input_sha256 for golden in spec.golden]
    if any(run.status == "ok" and [answer.input_sha256 for answer in run.answers] != inputs for run in report.runs):
        raise DataError(
            f"{printable(path.name)} answers other golden images than those of {printable(candidate.name)}.",
            "They were stamped anew since the test: package the model again, and test it on the device again.")
    runs = tuple(_judge_run(run, spec) for run in report.runs)
    return DeviceValidation(path, candidate, report, runs, _throttling(report), _judge(report, runs, max_latency_ms),
                            tuple(_warnings(report, runs)))


def checkable_spec(candidate: Path) -> ModelSpec:
    """The spec of a model that a device can be checked against.

    Raises:
        ModelFileError, SpecError: the file is damaged, or has no spec or no golden answers.
    """
    spec = modelfile.read_spec(candidate)
    if spec is None or not spec.golden:
        lacks = "no edgekit spec" if spec is None else "no golden answers"
        raise SpecError(f"{printable(candidate.name)} carries {lacks}, so there is nothing to check a device against.",
                        "`edgekit import` writes a spec, `edgekit validate --stamp` golden answers.")
    return spec


def _judge_run(run: Run, spec: ModelSpec) -> JudgedRun:
    if not run.answers:
        return JudgedRun(run, None, False)
    check = check_answers(spec, [answer.answer() for answer in run.answers], run.delegate)
    return JudgedRun(run, check, check.correct and run.status == "ok")


def _judge(report: DeviceReport, runs: tuple[JudgedRun, ...], max_latency_ms: float | None) -> Judgement:
    failures, doubts = [], []
    for each in runs:
        if each.run.status == "ok" and each.check is not None and not each.check.correct:
            failures.append(f"The report contradicts itself: it calls {each.run.delegate} ok. {each.check.reason}")
    chosen = next((each for each in runs if each.run.delegate == report.chosen), None)
    if chosen is None:
        right = [each.run.delegate for each in runs if each.correct]
        failures.append(f"Nothing was chosen, although {right[0]} is right." if right else "No delegate is right.")
    elif chosen.run.status != "ok":
        failures.append(f"The report contradicts itself: it chose {report.chosen}, which it calls {chosen.run.status}.")
    elif max_latency_ms is not None:
        timing = chosen.run.inference_ms
        if timing is None:
            failures.append(f"The time of {report.chosen} was not measured.")
        elif timing.p50 > max_latency_ms:
            failures.append(f"The median of {report.chosen} is {timing.p50:.4g} ms, above the limit of "
                            f"{max_latency_ms:.4g} ms.")
    if report.camera.wrong:
        failures.append(f"The camera path gives other bytes than the reference for {len(report.camera.wrong)} of "
                        f"{report.camera.vectors} camera vectors.")
    camera = report.platform == "android"  # elsewhere frames come as RGB, and the golden answers test the rest
    if camera and not report.camera.vectors:
        doubts.append("The camera path was not checked: there were no camera vectors.")
    if chosen is not None and chosen.correct and chosen.check is not None and not chosen.check.clear:
        doubts.append(f"No golden answer leads by more than {2 * chosen.check.tolerance:g}, so none tells a right "
                      f"{report.chosen} from a broken one. `edgekit validate --stamp` adds clear images.")
    if failures:
        return Judgement(FAIL, failures)
    if doubts:
        return Judgement(INCONCLUSIVE, doubts)
    answers = next(run for run in report.runs if run.delegate == report.chosen).answers
    also = f", and the camera path all {report.camera.vectors} camera vectors" if camera else ""
    return Judgement(PASS, [f"{report.chosen} gives all {len(answers)} golden answers{also}."])


def _throttling(report: DeviceReport) -> Throttling | None:
    sustained = report.sustained
    if sustained is None or not sustained.samples:
        return None
    worst = max((sample.thermal for sample in sustained.samples), key=THERMAL.index)
    return Throttling(sustained.delegate, sustained.seconds, sustained.samples[0].fps, sustained.samples[-1].fps, worst)


def _warnings(report: DeviceReport, runs: tuple[JudgedRun, ...]) -> list[str]:
    found = []
    for each in runs:
        name, check = each.run.delegate, each.check
        if each.run.status == "wrong" and check is not None and check.correct:
            found.append(f"{name}: the report calls it wrong, but its answers are right")
        elif each.run.status == "wrong":
            found.append(f"{name} is wrong and was not chosen. {check.reason if check else _text(each.run.detail)}")
        elif each.run.status in ("crashed", "failed"):
            found.append(f"{name} {each.run.status}: {_text(each.run.detail)}")
    if report.verdict != "pass":
        what = "app" if report.platform == "android" else "bundle"
        found.append(f"the {what} says that the model's verdict is {report.verdict}")
    return found


def _text(text: str) -> str:
    return printable(text)[:200]
