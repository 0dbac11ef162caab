"""`edgekit build`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli import common


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--data", type=common.DATA, help="Images to build from, in place of the recipe's.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write the files.  [default: RECIPE/build]",
)
@common.device_option
@common.json_option
def build(recipe: Path | None, data: Path | None, output: Path | None, device: str, as_json: bool) -> int:
    """Make all the files of a RECIPE: train, convert to every scheme, validate, stamp, report.

    RECIPE is a folder with a recipe.toml, such as models/digits. Without one, --data DATA and -o FOLDER give a stamped
    int8 model of your photos. What is up to date is not made again. Exit code 1 when a file does not pass the gate.
    """
    from edgekit.cli.train import show_training
    from edgekit.cli.validate import print_validation
    from edgekit.recipes.build import build as run
    from edgekit.recipes.recipe import read_recipe, usual_recipe

    if recipe is not None:
        read = read_recipe(recipe)
        folder = output or read.folder / "build"
    elif data is None or output is None:
        raise click.UsageError("Name a RECIPE; or, to build from photos without one, --data DATA and -o FOLDER.")
    else:
        read, folder = usual_recipe(data), output
    with common.progress(f"Building {read.name}") as show:
        made = run(
            read,
            folder,
            data=data,
            device=device,
            say=common.say,
            on_training=lambda figures: show_training(figures, show),
            on_progress=lambda done, total: show(done, total, "validating"),
        )
    if as_json:
        common.print_json(made)
    else:
        for note in made.notes:
            common.tell(note)
        if made.top1 is not None:
            common.tell(f"{made.model.name}: top-1 {made.top1:.1%} on held-out images")
        if made.validation:
            print_validation(made.validation)
        else:
            for name, outcome in made.outcomes.items():
                common.tell(f"{outcome.upper()} {name} (stamped before)")
        if made.left_out:
            common.tell(f"left out {', '.join(made.left_out)}: they need images to calibrate on (--data DATA)")
        if not made.outcomes:
            common.tell("nothing was compared on images, and nothing is stamped: there is no data (--data DATA)")
        common.tell(f"made {len(made.made)} files in {folder}, {len(made.kept)} were up to date")
    return 1 if "fail" in made.outcomes.values() else 0
