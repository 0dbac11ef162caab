"""`edgekit calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.convert.calibrate import CalibrationCheck
    from edgekit.quantize.evidence.ranges import Settling

STYLES = {"refusal": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.argument("model", type=common.MODEL)
@click.option(
    "--check",
    "data",
    type=common.DATA,
    metavar="DATA",
    required=True,
    help="The images that MODEL is to be calibrated on.",
)
@click.option(
    "--samples",
    type=click.IntRange(2, 100_000),
    default=200,
    show_default=True,
    help="How many of them to look at, evenly over the classes, as convert takes them.",
)
@common.seed_option
@common.max_bad_option
@common.lambda_option
@common.json_option
def calibrate(model: Path, data: Path, samples: int, seed: int, max_bad: int, allow_lambda: bool, as_json: bool) -> int:
    """Check whether images can calibrate MODEL, and how many of them it takes.

    MODEL is a .keras, or float .tflite or .onnx file with a spec. Copies, missing classes, values in the wrong range, a
    model that is fed wrongly, images that stretch the range of a layer, and too few images are found, each with its
    effect on the ranges. Exit code 1 when `edgekit convert` would refuse the images.
    """
    from edgekit.convert.calibrate import check_calibration
    from edgekit.runtime.spec import printable

    common.say(f"Checking {printable(str(data))} with {printable(str(model))} …")
    found = check_calibration(model, data, samples=samples, seed=seed, max_bad=max_bad, allow_lambda=allow_lambda)
    if as_json:
        common.print_json(found)
    else:
        _print(found)
    return 1 if found.outcome == "unfit" else 0


def _print(found: CalibrationCheck) -> None:
    from edgekit.quantize.evidence.ranges import ROUND

    for name, reason in found.skipped:
        common.warn(f"skipped {name}: {reason}")
    settling = found.settling
    if found.outcome != "unfit":
        common.tell("With fewer images, how many others leave a layer's range by more than a tenth of its width:")
        common.print_table(
            ["images", "others leave", "narrower on average", "at most", "in"],
            [
                _row(settling, place)
                for place, count in enumerate(settling.counts)
                if count in (*ROUND, settling.enough, settling.counts[-1])
            ],
        )
    for finding in found.findings:
        click.echo(click.style(f"{finding.level}: ", fg=STYLES[finding.level], bold=True) + common.shown(finding.what))
        for line in filter(None, (finding.effect, finding.hint)):
            common.tell(f"  {line}")
    if found.accuracy is not None and not any(finding.kind == "answers" for finding in found.findings):
        common.tell(f"The float model is right on {found.accuracy:.1%} of them.")
    common.tell(found.verdict)


def _row(settling: Settling, place: int) -> list[str]:
    from edgekit.quantize.evidence.effects import short

    if place == len(settling.counts) - 1:
        return [f"{settling.counts[place]}", "", "", "", ""]
    return [
        f"{settling.counts[place]}",
        f"{settling.leave[place]:.1%}",
        f"{settling.narrower[place]:.1%}",
        f"{settling.worst[place]:.1%}",
        short(settling.worst_layers[place]),
    ]
