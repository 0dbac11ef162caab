"""`edgekit build`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import common


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write the files.  [default: RECIPE/build]",
)
@common.json_option
def build(recipe: Path, output: Path | None, as_json: bool) -> int:
    """Make all the files of a RECIPE: train, convert to every scheme, validate, stamp.

    RECIPE is a folder with a recipe.toml, such as models/digits. What is up to date is not made again. Exit
    code 1 when a file does not pass the recipe's gate.
    """
    from edgekit.cli.validate import print_validation
    from edgekit.recipes.build import build as run
    from edgekit.recipes.recipe import read_recipe

    read = read_recipe(recipe)
    folder = output or read.folder / "build"
    with common.progress(f"Building {read.name}") as show:

        def on_epoch(figures: dict[str, Any]) -> None:
            show(figures["done"], figures["total"], f"training: validation {figures['val_accuracy']:.1%}")

        made = run(
            read,
            folder,
            say=common.say,
            on_epoch=on_epoch,
            on_progress=lambda done, total: show(done, total, "validating"),
        )
    if as_json:
        common.print_json(made)
    else:
        common.tell(f"{made.model.name}: top-1 {made.top1:.1%} on held-out images")
        if made.validation:
            print_validation(made.validation)
        else:
            for name, outcome in made.outcomes.items():
                common.tell(f"{outcome.upper()} {name} (stamped before)")
        common.tell(f"made {len(made.made)} files in {folder}, {len(made.kept)} were up to date")
    return 1 if "fail" in made.outcomes.values() else 0
