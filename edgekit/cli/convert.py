"""`edgekit convert`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from edgekit.cli import common


@click.command()
@click.argument("model", type=common.MODEL)
@click.option("-o", "--output", type=common.MODEL, help="The .tflite or .onnx file to write.  [default: MODEL.tflite]")
@click.option(
    "--quantize",
    type=click.Choice(["none", "float16", "dynamic", "weight8", "weight4", "dynamic4", "int8", "int16x8"]),
    default="none",
    show_default=True,
    help="The scheme; int8 and int16x8 need --calibrate (int8 of a model trained with --qat does not), and weight8 and "
    "weight4 compute in float.",
)
@click.option("--calibrate", type=common.DATA, metavar="DATA", help="Images like those that the device will see.")
@click.option(
    "--samples",
    type=click.IntRange(2, 100_000),
    default=200,
    show_default=True,
    help="How many of them to use, evenly over the classes.",
)
@common.io_option
@common.weights_option
@common.spec_options
@common.seed_option
@common.max_bad_option
@common.lambda_option
@common.custom_objects_option
@common.json_option
def convert(
    model: Path,
    output: Path | None,
    quantize: str,
    calibrate: Path | None,
    samples: int,
    io: str,
    weights: Path | None,
    seed: int,
    max_bad: int,
    allow_lambda: bool,
    custom_objects: tuple[str, ...],
    as_json: bool,
    **spec_options: Any,
) -> None:
    """Convert MODEL to TFLite or ONNX, quantized or not.

    MODEL is a .keras, or float .tflite or .onnx file with a spec; or anything that `edgekit import` reads, with the
    same options. The result is run and compared with its source before it is written.
    """
    from edgekit.convert.run import convert as run
    from edgekit.convert.run import default_output
    from edgekit.importers.options import SpecOptions
    from edgekit.importers.run import ending, import_model, needs_import
    from edgekit.report.figures import size
    from edgekit.runtime.spec import printable

    options = SpecOptions(**spec_options)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        source = model
        output = output or default_output(model)
        if (options.given or weights or custom_objects or needs_import(model)) and output.resolve() != model.resolve():
            common.say(f"Importing {printable(str(model))} …")
            source = Path(folder) / f"{model.stem}{ending(model)}"
            imported = import_model(
                model, source, options, weights=weights, allow_lambda=allow_lambda, custom_objects=custom_objects
            )
            common.say_derived(imported.derived)
            common.say_notes(imported.notes)
        common.say(f"Converting {printable(str(model))} …")
        made = run(
            source,
            output,
            quantize=quantize,
            calibrate=calibrate,
            samples=samples,
            io=io,
            seed=seed,
            max_bad=max_bad,
            allow_lambda=allow_lambda,
        )
    if as_json:
        common.print_json(made)
        return
    for name, reason in made.skipped:
        common.warn(f"skipped {name}: {reason}")
    for warning in made.warnings:
        common.warn(warning)
    compared = (
        ""
        if made.agreement is None
        else f", the same top-1 as its float source on {made.agreement:.1%} of the calibration images"
    )
    if made.ranges:
        common.say(f"Ranges of the activations: {made.ranges}.")
    scheme = made.scheme.replace("none", "float32")
    common.tell(f"wrote {made.path}: {scheme}, {size(made.size)}{compared}")
