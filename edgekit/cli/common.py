"""Options, progress and tables that commands share."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

MODEL = click.Path(path_type=Path)
DATA = click.Path(path_type=Path)


class Bytes(click.ParamType[int]):
    """A size such as 500000, 500KB or 4.5MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value!r} is not a size; write for example 500KB or 4.5MB.", param, ctx)
        return int(float(match[1]) * 1000 ** " KMG".index(match[2].upper() or " "))


report_option = click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a self-contained report page."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of everything random."
)
max_bad_option = click.option(
    "--max-bad",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Skip up to N unreadable images.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes GPUs where there are any.",
)
io_option = click.option(
    "--io",
    type=click.Choice(["uint8", "float32", "int8"]),
    default="uint8",
    show_default=True,
    help="Type of the input: uint8 and float32 take pixels 0..255 and give float32 scores; int8 gives int8.",
)
weights_option = click.option("--weights", type=MODEL, metavar="FILE", help="The weights of an architecture in JSON.")
lambda_option = click.option(
    "--allow-lambda", is_flag=True, help="Load Lambda layers. They run code from the file: only for files you trust."
)
custom_objects_option = click.option(
    "--custom-objects",
    multiple=True,
    metavar="MODULE:NAME[,…]",
    help="Classes and functions of a Keras model that are not Keras' own, from the current folder, an installed package"
    " or path/file.py. Their code is run.",
)

max_drop_option = click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="The most top-1 accuracy that may be lost, in points.",
)
min_agreement_option = click.option(
    "--min-agreement",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="The least share of images with the same top-1.  [default without labels: 98]",
)
max_size_option = click.option("--max-size", type=Bytes(), metavar="SIZE", help="The largest file, as in 4.5MB.")

KERNELS = ("bilinear-aa", "bicubic-aa", "bilinear", "nearest")


def spec_options(function: Function) -> Function:
    """The options that say how a foreign model is fed and what its answers mean."""
    for option in reversed(
        (
            click.option(
                "--labels",
                metavar="FILE|A,B,C",
                help="A file with one label a line, or the labels themselves; in the order of the model's outputs.",
            ),
            click.option(
                "--input-size", metavar="N|HxW", help="Height and width of the input, where the model leaves them open."
            ),
            click.option(
                "--resize",
                type=click.Choice(KERNELS),
                help="How its training resized images. tf.image.resize and "
                "Keras' loaders: bilinear; Pillow and torchvision: bilinear-aa.",
            ),
            click.option(
                "--crop",
                metavar="none|pad|center[:F]",
                help="What its training saw of an image: all of it stretched, "
                "all of it on a canvas, or the centre (times F, as in center:0.875).",
            ),
            click.option(
                "--channel-order",
                type=click.Choice(["RGB", "BGR"]),
                help='BGR for models trained on OpenCV images or with Keras\' "caffe" preprocessing.  [default: RGB]',
            ),
            click.option("--mean", metavar="M[,M,M]", help="real = (byte − mean) / std, per channel or one for all."),
            click.option(
                "--std", metavar="S[,S,S]", help="See --mean. Inputs of 0..1: 0 and 255; of −1..1: 127.5 and 127.5."
            ),
            click.option(
                "--output-activation",
                type=click.Choice(["softmax", "sigmoid", "logits"]),
                help="What the output already is; logits still need a softmax.",
            ),
        )
    ):
        function = option(function)
    return function


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print a dataclass, dict or list as JSON on stdout; characters that a terminal acts upon are escaped."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=indent)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field for field in dataclasses.fields(value) if field.metadata.get("json", True))
        return {field.name: getattr(value, field.name) for field in fields}
    return str(value)


def shown(message: str) -> str:
    """One line as a terminal may show it, whatever names from files or of files it quotes."""
    from edgekit.runtime.spec import printable  # brings numpy, which `--help` need not wait for

    return printable(message)


def tell(message: str) -> None:
    """One line of the result on stdout."""
    click.echo(shown(message))


def say(message: str) -> None:
    """One line of progress on stderr."""
    click.echo(shown(message), err=True)


def say_derived(derived: Sequence[str]) -> None:
    """What an import found out or assumed, on stderr."""
    if derived:
        say(f"You did not say, so: {'; '.join(derived)}.")


def say_notes(notes: Sequence[str]) -> None:
    """What became of a model when it was imported, on stderr."""
    for note in notes:
        say(f"Note: {note}.")


def warn(message: str) -> None:
    """One line of warning on stderr."""
    click.echo(click.style("Warning: ", fg="yellow", bold=True) + shown(message), err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """A table on stdout; all columns but the first are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 200  # nothing is cut where nobody sees a window
    console.print(table)


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr where that is a terminal; the yielded function takes done, total and a remark."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: it was closed when Python started
        say(f"{description} …")
        yield lambda done, total, remark: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None, remark="")
        yield lambda done, total, remark: bar.update(task, completed=done, total=total, remark=remark)
