"""`edgekit validate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.validate.run import Validation

SHOWN_RECALLS = 5


class Bytes(click.ParamType[int]):
    """A size such as 500000, 500KB or 4.5MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value!r} is not a size; write for example 500KB or 4.5MB.", param, ctx)
        return int(float(match[1]) * 1000 ** " KMG".index(match[2].upper() or " "))


@click.command()
@click.argument("reference", type=common.MODEL)
@click.argument("candidates", type=common.MODEL, nargs=-1, required=True)
@click.option("--data", type=common.DATA, required=True, help="Images to compare on, with labels or without.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="The most top-1 accuracy that may be lost, in points.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="The least share of images with the same top-1.  [default without labels: 98]",
)
@click.option(
    "--max-latency",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="The most median milliseconds for one image on one thread of this machine.",
)
@click.option("--max-size", type=Bytes(), metavar="SIZE", help="The largest file, as in 4.5MB.")
@click.option("--strict", is_flag=True, help="Exit with 1 when there are too few images to decide.")
@click.option("--stamp", is_flag=True, help="Write the verdict and golden answers into the candidates.")
@common.report_option
@common.max_bad_option
@common.lambda_option
@common.json_option
def validate(
    reference: Path,
    candidates: tuple[Path, ...],
    data: Path,
    max_drop: float,
    min_agreement: float | None,
    max_latency: float | None,
    max_size: int | None,
    strict: bool,
    stamp: bool,
    report: Path | None,
    max_bad: int,
    allow_lambda: bool,
    as_json: bool,
) -> int:
    """Compare CANDIDATES with REFERENCE on data, each fed by its own spec, and judge them.

    The verdict is pass, fail or inconclusive (too few images). Exit code 1 when a candidate fails.
    """
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
