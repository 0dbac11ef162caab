"""`edgekit train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.train.run import Trained


@click.command()
@click.argument("data", type=common.DATA)
@click.option("-o", "--output", type=common.MODEL, required=True, help="The .keras file to write.")
@click.option(
    "--backbone",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, cnn (small, from scratch), efficientnet-lite0, or a classifier of keras.applications, such as "
    "mobilenet-v2. auto looks at the size of the images.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|none|FILE",
    help="What the backbone knows already; none trains it from scratch. Those of efficientnet-lite0 are installed, "
    "Keras downloads those of its own networks once.",
)
@click.option(
    "--input-size",
    type=click.IntRange(8, 512),
    metavar="N",
    help="Side of the square input in pixels.  [default: the backbone's; for cnn that of the images, at most 96]",
)
@click.option(
    "--fine-tune",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    metavar="EPOCHS",
    help="Then train all layers; kept where it is better on validation images.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    help="From scratch, or with --from: the most passes over the training images.  [default: 60; with --from 10]",
)
@click.option("--batch-size", type=click.IntRange(1, 4096), default=32, show_default=True, help="Images a step.")
@click.option(
    "--label-smoothing", type=click.FloatRange(0, 0.5), default=0.0, show_default=True, metavar="SHARE",
    help="Probability to take from the right label and spread over all.",
)
@click.option(
    "--mixup", type=click.FloatRange(0, 10), default=0.0, show_default=True, metavar="ALPHA",
    help="Mix images and labels in pairs while a network is trained; 0.2 is usual.",
)
@click.option(
    "--class-weights", type=click.Choice(["none", "balanced"]), default="none", show_default=True,
    help="balanced: every class counts the same, however many images it has.",
)
@click.option(
    "--mirror/--no-mirror", default=True, show_default=True,
    help="Whether a mirrored photo is still one of its class. The cnn never sees mirrored ones.",
)
@click.option(
    "--precision", type=click.FloatRange(0, 100), default=95.0, show_default=True, metavar="PERCENT",
    help='How many of the sure answers shall be right; less certain ones become "not sure". 0: always sure.',
)
@click.option(
    "--from", "source", type=common.MODEL, metavar="MODEL.keras",
    help="Train this model on, with --qat; images are prepared as its spec says.",
)
@click.option(
    "--qat", is_flag=True,
    help="Quantization-aware training at the end: the model answers in int8 as in float, and converting it to int8 "
    "needs no images.",
)
@common.device_option
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Keep the run in FOLDER until it is done; a run that was stopped goes on from there.",
)
@common.report_option
@common.seed_option
@common.max_bad_option
@common.json_option
def train(
    data: Path, output: Path, source: Path | None, precision: float, report: Path | None, as_json: bool, **options: Any
) -> None:
    """Train a classifier on labelled images: from few photos, on top of a network that knows a million others.

    DATA is a folder with a subfolder per class, a .csv or .jsonl manifest (path,label), or an .npz file (x, y).
    15 % of the images are held out for the report. With a pretrained backbone a regularised linear head is fitted to
    its features, chosen by cross-validation; small images are learned from scratch by a small CNN.
    """
    from edgekit.report.curve import write_curve
    from edgekit.report.page import check_target
    from edgekit.report.training import write_training
    from edgekit.train.fit import train as run
    from edgekit.train.qat import fine_tune

    options = {name: value for name, value in options.items() if value is not None}
    if source is not None:
        options = _of_fine_tuning(options)
    if report:
        check_target(report)
    with common.progress("Training") as show:
        settings = {
            **options, "precision": precision / 100, "on_progress": lambda figures: show_training(figures, show)
        }
        made = run(data, output, **settings) if source is None else fine_tune(source, data, output, **settings)
    written = [output]
    history = made.history or (made.quantized.history if made.quantized else [])
    if history:
        written.append(output.with_suffix(".curve.svg"))
        write_curve(history, written[-1])
    if report:
        written.append(report)
        write_training(made, report)
    if as_json:
        common.print_json(made)
        return
    print_training(made)
    common.tell(f"wrote {' and '.join(map(str, written))}")


def _of_fine_tuning(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `fine_tune`; those that choose or make a network are refused."""
    context = click.get_current_context()
    for name in ("backbone", "weights", "input_size", "fine_tune"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"--from goes on with a network as it is, so {option} cannot be given.")
        options.pop(name, None)
    if not options.pop("qat"):
        raise click.UsageError("--from trains on with fake quantization only: add --qat.")
    return options


def show_training(figures: dict[str, Any], show: Callable[[int, int, str], None]) -> None:
    """Show how far training is; a download is always told."""
    if "download" in figures:
        common.say(f"Downloading {figures['download']} from {figures['address']} …")
    else:
        show(figures["done"], figures["total"], _stage(figures))


def _stage(figures: dict[str, Any]) -> str:
    if figures["stage"] == "features":
        return "images seen by the pretrained network"
    if figures["stage"] == "head":
        return "strengths of regularisation"
    if figures["stage"] == "qat":
        return f"as int8: loss {figures['loss']:.3f}  validation {figures['val_accuracy']:.1%}"
    return f"loss {figures['loss']:.3f}  accuracy {figures['accuracy']:.1%}  validation {figures['val_accuracy']:.1%}"


def print_training(made: Trained) -> None:
    """How well the model does on the images held out, and what was found on the way."""
    for name, reason in made.skipped:
        common.warn(f"skipped {name}: {reason}")
    common.tell(f"{made.backbone}: {made.reason}")
    rows = [(common.shown(label), "–" if recall is None else f"{recall:.1%}") for label, recall in made.recall.items()]
    common.print_table(("label", "recall"), rows)
    for note in made.notes:
        common.tell(note)
    lasted = f", {len(made.history)} epoch{'' if len(made.history) == 1 else 's'}" if made.history else ""
    click.echo(
        f"top-1 {made.top1:.1%} on {made.images['held out']} held-out images "
        f"(trained on {made.images['training']}{lasted}, {made.parameters:,} parameters)"
    )
