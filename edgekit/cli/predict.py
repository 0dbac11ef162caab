"""`edgekit predict`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli import common


@click.command()
@click.argument("model", type=common.MODEL)
@click.argument("images", type=common.DATA, nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(1), default=3, show_default=True, metavar="K", help="How many labels to name."
)
@common.max_bad_option
@common.lambda_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def predict(model: Path, images: tuple[Path, ...], top: int, max_bad: int, allow_lambda: bool, as_json: bool) -> None:
    """Classify IMAGES: files, or folders, which are searched recursively."""
    from edgekit.runtime.spec import printable
    from edgekit.validate.predict import predict as run

    for path, answer in run(
        model,
        images,
        top=top,
        max_bad=max_bad,
        allow_lambda=allow_lambda,
        on_skip=lambda name, reason: common.warn(f"skipped {name}: {reason}"),
    ):
        if as_json:
            predictions = [{"label": item.label, "score": round(item.score, 6)} for item in answer.predictions]
            unsure = {} if answer.sure else {"sure": False}
            common.print_json({"path": path, "predictions": predictions, **unsure}, indent=None)
        else:
            named = ", ".join(f"{printable(item.label)} {item.score:.1%}" for item in answer.predictions)
            click.echo(f"{printable(str(path))}: {'' if answer.sure else 'not sure: '}{named}")
