"""`edgekit import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import common


@click.command("import")
@click.argument("source", type=common.MODEL)
@click.option(
    "-o",
    "--output",
    type=common.MODEL,
    required=True,
    help="The file to write: .keras, or .tflite or .onnx if SOURCE is that.",
)
@common.weights_option
@common.spec_options
@common.lambda_option
@common.custom_objects_option
@common.json_option
def import_(
    source: Path,
    output: Path,
    weights: Path | None,
    allow_lambda: bool,
    custom_objects: tuple[str, ...],
    as_json: bool,
    **spec_options: Any,
) -> None:
    """Give a foreign model a spec: how it is fed, and what its answers mean.

    SOURCE is a .keras, .h5 or .hdf5 file or an architecture in JSON (with --weights), of any Keras from 1.0, a
    SavedModel folder, or a .tflite or .onnx file. What the file says is read from it; what is ambiguous must be told.
    """
    from edgekit.importers.options import SpecOptions
    from edgekit.importers.run import import_model
    from edgekit.runtime.spec import printable

    common.say(f"Importing {printable(source.name)} …")
    made = import_model(
        source,
        output,
        SpecOptions(**spec_options),
        weights=weights,
        allow_lambda=allow_lambda,
        custom_objects=custom_objects,
    )
    if as_json:
        common.print_json({"path": made.path, "spec": made.spec, "derived": made.derived, "notes": made.notes})
        return
    common.say_derived(made.derived)
    common.say_notes(made.notes)
    image = made.spec.input
    common.tell(
        f"wrote {made.path}: {image.width}×{image.height}×{image.channels} {image.dtype} in, "
        f"{len(made.spec.labels)} labels out"
    )
