"""`edgekit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import common


@click.command()
@click.argument("data", type=common.DATA)
@click.option("-o", "--output", type=common.MODEL, required=True, help="The .keras file to write.")
@click.option(
    "--input-size",
    type=click.IntRange(8, 512),
    metavar="N",
    help="Side of the square input in pixels.  [default: that of the images, at most 96]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=60,
    show_default=True,
    help="The most passes over the training images.",
)
@click.option("--batch-size", type=click.IntRange(1, 4096), default=32, show_default=True, help="Images a step.")
@common.seed_option
@common.max_bad_option
@common.json_option
def train(
    data: Path,
    output: Path,
    input_size: int | None,
    epochs: int,
    batch_size: int,
    seed: int,
    max_bad: int,
    as_json: bool,
) -> None:
    """Train a small CNN from scratch on labelled images.

    DATA is a folder with a subfolder per class, a .csv or .jsonl manifest (path,label), or an .npz file (x, y).
    70 % of the images are trained on, 15 % decide when to stop, and 15 % are held out for the report. Beside the
    model, OUTPUT.curve.svg shows the learning curve.
    """
    from edgekit.report.curve import write_curve
    from edgekit.train.fit import train as run

    with common.progress("Training") as show:

        def on_progress(figures: dict[str, Any]) -> None:
            show(
                figures["done"],
                figures["total"],
                f"loss {figures['loss']:.3f}  accuracy {figures['accuracy']:.1%}  "
                f"validation {figures['val_accuracy']:.1%}",
            )

        made = run(
            data,
            output,
            input_size=input_size,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            max_bad=max_bad,
            on_progress=on_progress,
        )
    curve = output.with_suffix(".curve.svg")
    write_curve(made.history, curve)
    if as_json:
        common.print_json(made)
        return
    for name, reason in made.skipped:
        common.warn(f"skipped {name}: {reason}")
    rows = [(label, "–" if recall is None else f"{recall:.1%}") for label, recall in made.recall.items()]
    common.print_table(("label", "recall"), [(label_of(label), recall) for label, recall in rows])
    lasted = "1 epoch" if made.stopped_at == 1 else f"{made.stopped_at} epochs"
    click.echo(
        f"top-1 {made.top1:.1%} on {made.images['held out']} held-out images "
        f"(trained on {made.images['training']}, {lasted}, {made.parameters:,} parameters)"
    )
    common.tell(f"wrote {output} and {curve}")


def label_of(label: str) -> str:
    """A label as it may be shown."""
    from edgekit.runtime.spec import printable

    return printable(label)
