"""`edgekit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli import common, inspect_delegates

if TYPE_CHECKING:
    from edgekit.runtime.spec import ModelSpec

LARGEST = 10
SHOWN = 60  # characters of a name; TFLite joins those of all layers that were fused


@click.command()
@click.argument("model", type=common.MODEL)
@click.option(
    "--delegates",
    "delegates",
    is_flag=True,
    help="Show instead which operators of a .tflite file XNNPACK, the GPU and NNAPI take, and the runtime it needs.",
)
@common.json_option
def inspect(model: Path, delegates: bool, as_json: bool) -> None:
    """Show what is in MODEL: its spec and verdict, tensors, quantization, operators, sizes, parameters and MACs."""
    if delegates:
        inspect_delegates.show(model, as_json=as_json)
        return
    from edgekit.core import probe
    from edgekit.core.anatomy import anatomy
    from edgekit.report.figures import size
    from edgekit.runtime import modelfile
    from edgekit.runtime.spec import printable

    probe.vet(model)
    spec = modelfile.read_spec(model)
    found = anatomy(model)
    if as_json:
        common.print_json({"path": model, "spec": spec, "anatomy": found, "fresh": _fresh(model, spec)})
        return
    click.echo(f"{printable(str(model))}: {found.format}, {size(found.file_bytes)}")
    if spec is None:
        click.echo("It carries no edgekit spec. `edgekit import` gives it one.")
    else:
        _print_spec(model, spec)
    click.echo(f"parameters {found.parameters:,}" + (f", MACs {found.macs:,}" if found.macs is not None else ""))
    common.print_table(
        ("tensor", "dtype", "shape", "quantization"),
        [
            (
                f"{way} {tensor.name}",
                tensor.dtype,
                "×".join("?" if side is None else str(side) for side in tensor.shape),
                "–" if tensor.scale is None else f"scale {tensor.scale:.6g}, zero point {tensor.zero_point}",
            )
            for way, tensors in (("in ", found.inputs), ("out", found.outputs))
            for tensor in tensors
        ],
    )
    common.print_table(("operator", "count"), [(name, str(count)) for name, count in found.operators])
    common.print_table(
        ("weights", "quantization", "tensors", "parameters", "size"),
        [
            (kind.dtype, kind.quantization or "–", str(kind.tensors), f"{kind.parameters:,}", size(kind.bytes))
            for kind in found.weight_kinds
        ],
    )
    common.print_table(
        ("largest weights", "operator", "dtype", "shape", "size"),
        [
            (
                weight.name if len(weight.name) <= SHOWN else f"{weight.name[:SHOWN]}…",
                weight.op,
                weight.dtype,
                "×".join(map(str, weight.shape)),
                size(weight.bytes),
            )
            for weight in found.weights[:LARGEST]
        ],
    )


def _print_spec(model: Path, spec: ModelSpec) -> None:
    from edgekit.runtime.spec import printable

    image, process, verdict = spec.input, spec.preprocess, spec.verdict
    crop = process.crop.mode + (f" {process.crop.fraction:g}" if process.crop.mode == "center" else "")
    click.echo(
        f"input   {image.width}×{image.height}, {process.channel_order}, {image.dtype}; crop {crop}, resize "
        f"{process.resize}, mean {_list(process.mean)}, std {_list(process.std)}"
    )
    click.echo(f"output  {spec.output.activation}, {spec.output.dtype}; scheme {spec.scheme}")
    shown = ", ".join(printable(label) for label in spec.labels[:8])
    click.echo(f"labels  {len(spec.labels)}: {shown}{', …' if len(spec.labels) > 8 else ''}")
    click.echo(
        f"made    from {printable(spec.provenance.source) or 'unknown'} by "
        f"{printable('; '.join(spec.provenance.steps)) or 'unknown'}"
    )
    click.echo(
        f"golden  {len(spec.golden)} answers, {sum(answer.image is not None for answer in spec.golden)} of images"
    )
    if verdict is None:
        click.echo("verdict none: `edgekit validate --stamp` writes one")
    else:
        stale = "" if _fresh(model, spec) else " (STALE: the model has changed since)"
        figures = ", ".join(f"{printable(name)} {value:.4g}" for name, value in verdict.figures.items())
        click.echo(f"verdict {verdict.outcome} on {verdict.images} images{stale}: {figures}")


def _fresh(model: Path, spec: ModelSpec | None) -> bool | None:
    from edgekit.runtime import modelfile

    return None if spec is None or spec.verdict is None else spec.verdict.model_sha256 == modelfile.digest(model)


def _list(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ",".join(f"{value:g}" for value in values)
