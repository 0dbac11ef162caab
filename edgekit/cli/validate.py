"""`edgekit validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.validate.device import DeviceValidation
    from edgekit.validate.layer_drift import Drift
    from edgekit.validate.run import Validation

SHOWN_RECALLS = 5
OTHER_FORM = "To judge a device's self-test: MODEL --device-report FILE."
WITH_A_DEVICE_REPORT = {"reference", "device_report", "max_latency", "strict", "as_json"}


@click.command()
@click.argument("reference", type=common.MODEL)
@click.argument("candidates", type=common.MODEL, nargs=-1)
@click.option("--data", type=common.DATA, help="Images to compare on, with labels or without.")
@click.option(
    "--device-report",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Judge what a device's self-test says about the one model that is named, instead of comparing models.",
)
@common.max_drop_option
@common.min_agreement_option
@click.option(
    "--max-latency",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="The most median milliseconds for one image: on one thread of this machine, or on the device of the report.",
)
@common.max_size_option
@click.option("--strict", is_flag=True, help="Exit with 1 also when the verdict is inconclusive.")
@click.option("--stamp", is_flag=True, help="Write the verdict and golden answers into the candidates.")
@click.option(
    "--layers",
    is_flag=True,
    help="Compare layer by layer as well, on up to 64 of the images, and name the first bad layer.",
)
@common.report_option
@common.max_bad_option
@common.lambda_option
@common.json_option
@click.pass_context
def validate(
    context: click.Context,
    reference: Path,
    candidates: tuple[Path, ...],
    data: Path | None,
    device_report: Path | None,
    max_drop: float,
    min_agreement: float | None,
    max_latency: float | None,
    max_size: int | None,
    strict: bool,
    stamp: bool,
    layers: bool,
    report: Path | None,
    max_bad: int,
    allow_lambda: bool,
    as_json: bool,
) -> int:
    """Compare CANDIDATES with REFERENCE on data, each fed by its own spec, and judge them.

    The verdict is pass, fail or inconclusive (too few images). Exit code 1 when a candidate fails.

    With --layers, the drift from REFERENCE (a Keras model, or a float file of the candidate's format) is shown layer by
    layer, with the first bad one's ranges and what would help.

    With --device-report, the only model to name is the one that was tested on the device. Its answers in the report are
    checked against its golden answers. Exit code 1 when the delegate that the app chose is wrong or too slow.
    """
    if device_report is not None:
        _refuse_other_options(context)
        return judge_device_report(reference, device_report, max_latency, strict, as_json)
    if not candidates:
        raise click.MissingParameter(OTHER_FORM, context, param_hint="'CANDIDATES...'", param_type="argument")
    if data is None:
        raise click.MissingParameter(OTHER_FORM, context, param_hint="'--data'", param_type="option")
    from edgekit.report.page import check_target
    from edgekit.report.validation import write_validation
    from edgekit.validate.gate import Gate
    from edgekit.validate.run import validate as run

    if report:
        check_target(report)
    with common.progress("Validating") as show:
        found = run(
            reference,
            candidates,
            data,
            gate=Gate(max_drop, min_agreement, max_latency, max_size),
            stamp=stamp,
            layers=layers,
            max_bad=max_bad,
            allow_lambda=allow_lambda,
            on_progress=lambda done, total: show(done, total, ""),
        )
    if as_json:
        common.print_json(found)
    else:
        print_validation(found)
        if stamp:
            click.echo("The verdict is stamped into each candidate.")
    if report:
        write_validation(found, report)
        if not as_json:
            common.tell(f"wrote {report}")
    return 1 if found.failed(strict) else 0


def judge_device_report(
    model: Path, device_report: Path, max_latency: float | None, strict: bool, as_json: bool
) -> int:
    """Judge and show a device report; gives the exit code."""
    from edgekit.validate.device import validate_device_report

    found = validate_device_report(model, device_report, max_latency_ms=max_latency)
    if as_json:
        common.print_json(found)
    else:
        print_device_validation(found)
    return 1 if found.failed(strict) else 0


def _refuse_other_options(context: click.Context) -> None:
    """Raise a usage error when an option is given that says nothing about a device report."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name == "candidates":
            given = bool(context.params[name])
        if given and name not in WITH_A_DEVICE_REPORT:
            what = "CANDIDATES" if name == "candidates" else parameter.opts[0]
            raise click.UsageError(
                f"{what} does not go with --device-report, which takes one model and needs no data.", context
            )


def print_device_validation(found: DeviceValidation) -> None:
    """A table of the delegates, what else was measured, and the verdict."""
    from edgekit.report import device_figures
    from edgekit.runtime.spec import printable

    report = found.report
    for warning in found.warnings:
        common.warn(warning)
    delegates = device_figures.delegates(found)
    title = f"{report.device.name}, {report.device.system}, {report.device.abi}, {report.runtime}"
    common.print_table(list(delegates), list(zip(*delegates.values(), strict=True)), printable(title))
    for line in device_figures.measured(found):
        common.tell(line)
    common.tell(
        f"{found.judgement.outcome.upper()} {found.candidate.name} on {report.device.name}: "
        f"{' '.join(found.judgement.reasons)}"
    )


def print_validation(found: Validation) -> None:
    """Two tables, what the models answer and what they cost, and the verdicts."""
    from edgekit.report import figures
    from edgekit.runtime.spec import printable

    for name, reason in found.skipped:
        common.warn(f"skipped {name}: {reason}")
    names = [printable(path.name) for path in (found.reference, *(candidate.path for candidate in found.candidates))]
    answers, costs = ({"model": names, **columns} for columns in (figures.answers(found), figures.costs(found)))
    common.print_table(
        list(answers),
        list(zip(*answers.values(), strict=True)),
        f"{found.images} images of {printable(str(found.data))}",
    )
    common.print_table(list(costs), list(zip(*costs.values(), strict=True)))
    for candidate in found.candidates:
        reasons, outcome = candidate.judgement.reasons, candidate.judgement.outcome.upper()
        click.echo(f"{outcome} {printable(candidate.path.name)}: {' '.join(reasons)}")
        for line in candidate.notes:
            click.echo(f"  {line}")
        for recall in figures.changed_recalls(candidate)[:SHOWN_RECALLS]:
            click.echo(
                f"  recall of {printable(found.labels[recall.label])}: {recall.reference:.1%} → {recall.candidate:.1%} "
                f"({recall.images} images)"
            )
        if candidate.drift is not None:
            print_drift(candidate.drift, candidate.path.name)


def print_drift(drift: Drift, name: str) -> None:
    """A table of the layers, the first bad one with what was measured of it, and what would help."""
    from edgekit.report import layers
    from edgekit.runtime.spec import printable

    columns = {column: [printable(cell) for cell in cells] for column, cells in layers.figures(drift).items()}
    common.print_table(list(columns), list(zip(*columns.values(), strict=True)), f"Layers of {printable(name)}")
    common.tell(layers.coverage(drift))
    common.tell(layers.summary(drift))
    if drift.first_bad is None:
        return
    layer = drift.layers[drift.first_bad]
    for what, said in layers.details(layer):
        common.tell(f"  {what}: {said}")
    common.tell("What would help:")
    for line in layer.help:
        common.tell(f"  - {line}")
