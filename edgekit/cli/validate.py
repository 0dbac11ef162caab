"""`edgekit validate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.validate.run import Candidate, Validation


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
    max_bad: int,
    allow_lambda: bool,
    as_json: bool,
) -> int:
    """Compare CANDIDATES with REFERENCE on data, each fed by its own spec, and judge them.

    The verdict is pass, fail or inconclusive (too few images). Exit code 1 when a candidate fails.
    """
    from edgekit.validate.gate import Gate
    from edgekit.validate.run import validate as run

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
    return 1 if found.failed(strict) else 0


def print_validation(found: Validation) -> None:
    """Two tables, what the models answer and what they cost, and the verdicts."""
    from edgekit.runtime.spec import printable

    for name, reason in found.skipped:
        common.warn(f"skipped {name}: {reason}")
    names = [printable(path.name) for path in (found.reference, *(candidate.path for candidate in found.candidates))]
    first = found.candidates[0].parity
    accuracy = [(first.reference_top1, first.reference_top5)]
    accuracy += [(each.parity.candidate_top1, each.parity.candidate_top5) for each in found.candidates]
    answers: dict[str, list[str]] = {"model": names}
    if found.labelled:
        answers["top-1"] = [_percent(top1) for top1, _ in accuracy]
    if first.reference_top5 is not None:
        answers["top-5"] = [_percent(top5) for _, top5 in accuracy]
    answers["agreement"] = ["", *(_percent(each.parity.agreement) for each in found.candidates)]
    if found.labelled:
        answers["lost/gained"] = ["", *(f"{each.parity.lost}/{each.parity.gained}" for each in found.candidates)]
        answers["drop in points (95 %)"] = ["", *(_drop(each) for each in found.candidates)]
    answers["Δ max/mean"] = [
        "",
        *(f"{each.parity.max_difference:.2g}/{each.parity.mean_difference:.1g}" for each in found.candidates),
    ]
    costs = {
        "model": names,
        "scheme": ["reference", *(each.scheme for each in found.candidates)],
        "size": [
            common.size(value)
            for value in (found.reference_size_bytes, *(each.size_bytes for each in found.candidates))
        ],
        "ms p50/p95": [
            _times(each)[0] for each in (found.reference_latency, *(each.latency for each in found.candidates))
        ],
        "all threads": [
            _times(each)[1] for each in (found.reference_latency, *(each.latency for each in found.candidates))
        ],
        "images/s": [
            f"{rate:.0f}"
            for rate in (found.reference_images_per_second, *(each.images_per_second for each in found.candidates))
        ],
    }
    common.print_table(
        list(answers),
        list(zip(*answers.values(), strict=True)),
        f"{found.images} images of {printable(str(found.data))}",
    )
    common.print_table(list(costs), list(zip(*costs.values(), strict=True)))
    for candidate in found.candidates:
        reasons, outcome = candidate.judgement.reasons, candidate.judgement.outcome.upper()
        click.echo(f"{outcome} {printable(candidate.path.name)}: {' '.join(reasons)}")
        for line in (*candidate.notes, *_changed_recalls(candidate, found.labels)):
            click.echo(f"  {line}")


def _drop(candidate: Candidate) -> str:
    parity = candidate.parity
    if parity.drop is None or parity.drop_interval is None:
        return "–"
    low, high = parity.drop_interval
    return f"{parity.drop:z.2f} ({low:z.2f} to {high:z.2f})"


def _changed_recalls(candidate: Candidate, labels: tuple[str, ...]) -> list[str]:
    """The classes whose recall changed most, at most five."""
    from edgekit.runtime.spec import printable

    changed = sorted(
        (recall for recall in candidate.parity.recalls if recall.change), key=lambda recall: -abs(recall.change)
    )
    return [
        f"recall of {printable(labels[recall.label])}: {recall.reference:.1%} → {recall.candidate:.1%} "
        f"({recall.images} images)"
        for recall in changed[:5]
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _times(latency: Any) -> tuple[str, str]:
    if latency is None:
        return "–", "–"
    return f"{latency.p50:.2f}/{latency.p95:.2f}", f"{latency.p50_all_threads:.2f}/{latency.p95_all_threads:.2f}"
