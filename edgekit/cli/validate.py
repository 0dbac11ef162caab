"""`edgekit validate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.validate.run import Candidate, Validation


class Bytes(click.ParamType):
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
@click.option("--max-drop", type=click.FloatRange(0, 100), default=1.0, show_default=True, metavar="POINTS",
              help="The most top-1 accuracy that may be lost, in points.")
@click.option("--min-agreement", type=click.FloatRange(0, 100), metavar="PERCENT",
              help="The least share of images with the same top-1.  [default without labels: 98]")
@click.option("--max-latency", type=click.FloatRange(0, min_open=True), metavar="MS", help="The most median milliseconds "
              "for one image on one thread of this machine.")
@click.option("--max-size", type=Bytes(), metavar="SIZE", help="The largest file, as in 4.5MB.")
@click.option("--strict", is_flag=True, help="Exit with 1 when there are too few images to decide.")
@click.option("--stamp", is_flag=True, help="Write the verdict and golden answers into the candidates.")
@common.max_bad_option
@common.json_option
def validate(reference: Path, candidates: tuple[Path, ...], data: Path, max_drop: float, min_agreement: float | None,
             max_latency: float | None, max_size: int | None, strict: bool, stamp: bool, max_bad: int, as_json: bool) -> int:
    """Compare CANDIDATES with REFERENCE on data, each fed by its own spec, and judge them.

    The verdict is pass, fail or inconclusive (too few images). Exit code 1 when a candidate fails.
    """
    from edgekit.validate.gate import Gate
    from edgekit.validate.run import validate as run

    with common.progress("Validating") as show:
        found = run(reference, candidates, data, gate=Gate(max_drop, min_agreement, max_latency, max_size), stamp=stamp,
                    max_bad=max_bad, on_progress=lambda done, total: show(done, total, ""))
    if as_json:
        common.print_json(found)
    else:
        print_validation(found)
        if stamp:
            click.echo("The verdict is stamped into each candidate.")
    return 1 if found.failed(strict) else 0


def print_validation(found: Validation) -> None:
    """The table, and what led to each verdict."""
    from edgekit.runtime.spec import printable

    for name, reason in found.skipped:
        common.warn(f"skipped {name}: {reason}")
    several = found.labelled and found.candidates[0].parity.reference_top5 is not None
    columns = ["model", "scheme", *(["top-1"] if found.labelled else []), *(["top-5"] if several else []), "agreement",
               *(["lost/gained", "drop (95 %)"] if found.labelled else []), "max Δ", "mean Δ", "size", "ms p50/p95",
               "ms all threads", "images/s", "verdict"]
    parity = found.candidates[0].parity
    first = [printable(found.reference.name), "reference", *([_percent(parity.reference_top1)] if found.labelled else []),
             *([_percent(parity.reference_top5)] if several else []), "", *(["", ""] if found.labelled else []), "", "",
             common.size(found.reference_size_bytes), *_times(found.reference_latency),
             f"{found.reference_images_per_second:.0f}", ""]
    rows = [first] + [_row(candidate, found.labelled, several) for candidate in found.candidates]
    common.print_table(columns, rows, f"{found.images} images of {printable(str(found.data))}")
    for candidate in found.candidates:
        click.echo(f"{printable(candidate.path.name)}: {candidate.judgement.outcome.upper()}")
        for line in (*candidate.judgement.reasons, *candidate.notes, *_changed_recalls(candidate, found.labels)):
            click.echo(f"  {line}")


def _row(candidate: Candidate, labelled: bool, several: bool) -> list[str]:
    from edgekit.runtime.spec import printable

    parity = candidate.parity
    row = [printable(candidate.path.name), candidate.scheme]
    if labelled:
        row.append(_percent(parity.candidate_top1))
    if several:
        row.append(_percent(parity.candidate_top5))
    row.append(_percent(parity.agreement))
    if labelled and parity.drop is not None and parity.drop_interval is not None:
        low, high = parity.drop_interval
        row += [f"{parity.lost}/{parity.gained}", f"{parity.drop:z.2f} ({low:z.2f} to {high:z.2f})"]
    return [*row, f"{parity.max_difference:.2g}", f"{parity.mean_difference:.2g}", common.size(candidate.size_bytes),
            *_times(candidate.latency), f"{candidate.images_per_second:.0f}", candidate.judgement.outcome]


def _changed_recalls(candidate: Candidate, labels: tuple[str, ...]) -> list[str]:
    """The classes whose recall changed most, at most five."""
    from edgekit.runtime.spec import printable

    changed = sorted((recall for recall in candidate.parity.recalls if recall.change), key=lambda recall: -abs(recall.change))
    return [f"recall of {printable(labels[recall.label])}: {recall.reference:.1%} → {recall.candidate:.1%} "
            f"({recall.images} images)" for recall in changed[:5]]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _times(latency: Any) -> tuple[str, str]:
    if latency is None:
        return "–", "–"
    return f"{latency.p50:.2f}/{latency.p95:.2f}", f"{latency.p50_all_threads:.2f}/{latency.p95_all_threads:.2f}"
