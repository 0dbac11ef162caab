"""`edgekit optimize`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.validate.optimized import Optimized, Row

SHOWN = 16  # candidates in the live table, the latest: more than a terminal is high would be cut off


@click.command()
@click.argument("model", type=common.MODEL)
@click.option("--data", type=common.DATA, required=True, help="Images like those that the device will see.")
@click.option("-o", "--output", type=common.MODEL, required=True, help="The .tflite or .onnx file to write.")
@common.max_drop_option
@common.min_agreement_option
@click.option(
    "--max-latency",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="The most median milliseconds for one image on one thread of this machine.",
)
@common.max_size_option
@click.option(
    "--objective",
    type=click.Choice(["size", "latency", "accuracy"]),
    default="size",
    show_default=True,
    help="What is best among the candidates within the budgets; up to 10 % of size or latency make no difference.",
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["android", "raspberry-pi", "any"]),
    help="Whose runtime must be able to run it.  [default: android for .tflite, any for .onnx]",
)
@common.io_option
@click.option("--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep all candidates there.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the search there until it has succeeded; one that was stopped goes on from there.",
)
@click.option(
    "--latencies",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Take the latencies that an earlier search measured (its --json), so that the same seed gives the same file.",
)
@click.option(
    "--allow-training",
    type=common.DATA,
    metavar="DATA",
    help="As a last resort, train a .keras MODEL on these labelled images with fake quantization.",
)
@common.report_option
@common.seed_option
@common.max_bad_option
@common.lambda_option
@common.json_option
def optimize(
    model: Path,
    data: Path,
    output: Path,
    max_drop: float,
    min_agreement: float | None,
    max_latency: float | None,
    max_size: int | None,
    objective: str,
    target: str | None,
    io: str,
    keep: Path | None,
    resume: Path | None,
    latencies: Path | None,
    allow_training: Path | None,
    report: Path | None,
    seed: int,
    max_bad: int,
    allow_lambda: bool,
    as_json: bool,
) -> int:
    """Find the best quantization of MODEL within budgets, and write it.

    Schemes, range estimators, repairs and mixed precision are tried. DATA is split by content: ranges are calibrated on
    25 % of it (at most 200 images), candidates chosen by 35 % (at most 1,000), and the winner is judged against MODEL
    on the rest, which nothing was tuned on. Exit code 1 when no candidate is within the budgets, or the winner fails
    there; nothing is written then.
    """
    from edgekit.optimize.run import optimize as run
    from edgekit.optimize.run import read_latencies
    from edgekit.report.optimization import write_optimization
    from edgekit.report.page import check_target
    from edgekit.validate.gate import Gate

    if report:
        check_target(report)
    with shown_live() as on_event:
        found = run(
            model,
            data,
            output,
            gate=Gate(max_drop, min_agreement, max_latency, max_size),
            objective=objective,
            target=target,
            io=io,
            keep=keep,
            resume=resume,
            latencies=read_latencies(latencies) if latencies else None,
            seed=seed,
            max_bad=max_bad,
            allow_lambda=allow_lambda,
            allow_training=allow_training,
            on_event=on_event,
        )
    if as_json:
        common.print_json(found)
    else:
        print_optimized(found)
    if report:
        write_optimization(found, report)
        if not as_json:
            common.tell(f"wrote {report}")
    return 0 if found.succeeded else 1


def print_optimized(found: Optimized) -> None:
    """The Pareto front, the trail, the winner and its final figure."""
    from edgekit.report.figures import size

    for name, reason in found.skipped:
        common.warn(f"skipped {name}: {reason}")
    for warning in found.warnings:
        common.warn(warning)
    shown = [found.rows[index] for index in found.front]
    if found.winner is not None and found.winner not in found.front:
        shown.append(found.rows[found.winner])
    if shown:
        columns = _columns(shown, found.labelled)
        title = f"Pareto front of {len(found.rows)} candidates, on the selection part"
        common.print_table(list(columns), list(zip(*columns.values(), strict=True)), title)
    common.tell(f"Sought: the best {found.objective} within {_budgets(found)}.")
    parts = found.parts
    common.tell(
        f"Ranges were calibrated on {parts['calibration']} images and candidates chosen by {parts['selection']}; the "
        f"final figure is from {parts['final']} that nothing was tuned on."
    )
    for step in found.trail:
        common.tell(f"- {step.text}")
    for line in _conclusion(found):
        common.tell(line)
    if found.output is not None and found.winner is not None:
        winner = found.rows[found.winner]
        written = size(found.output.stat().st_size)
        common.tell(f"wrote {found.output}: {winner.name}, {written} with its golden answers and the verdict")


def _columns(rows: Sequence[Row], labelled: bool) -> dict[str, list[str]]:
    """What candidates answer and cost on the selection part."""
    from edgekit.report.figures import percent, size

    columns = {"candidate": [common.shown(row.name) for row in rows]}
    if labelled:
        columns["top-1"] = [percent(row.top1) for row in rows]
        columns["drop in points"] = ["–" if row.drop is None else f"{row.drop:z.2f}" for row in rows]
    columns["agreement"] = [percent(row.agreement) for row in rows]
    columns["size"] = [size(row.size_bytes or 0) for row in rows]
    columns["ms"] = ["–" if row.latency_ms is None else f"{row.latency_ms:.3g}" for row in rows]
    columns["within the budgets"] = ["yes" if row.meets else "no" for row in rows]
    return columns


def _budgets(found: Optimized) -> str:
    from edgekit.report.figures import size

    limits = found.gate.limits(found.labelled)
    said = {
        "max_drop": "a drop of {:g} points",
        "min_agreement": "an agreement of {:g} %",
        "max_latency_ms": "{:g} ms",
    }
    parts = [form.format(limits[name]) for name, form in said.items() if name in limits]
    if found.gate.max_size_bytes is not None:
        parts.append(size(found.gate.max_size_bytes))
    return ", ".join(parts)


def _conclusion(found: Optimized) -> Iterator[str]:
    """The winner and its final figure, or what the candidates that came nearest miss."""
    if found.winner is None or found.final is None:
        yield "No candidate is within the budgets; nothing was written. What came nearest:"
        for row in [found.rows[index] for index in found.front] or found.rows:
            yield f"  {row.name}: {row.lost_because}"
        return
    judgement = found.final.judgement
    yield f"{judgement.outcome.upper()} {found.rows[found.winner].name}: {' '.join(judgement.reasons)}"
    if found.output is None:
        yield "It was the best so far, but fails on images that nothing was tuned on: nothing was written."


@contextmanager
def shown_live() -> Iterator[Callable[[dict[str, Any]], None]]:
    """What happens, on stderr: a table that grows where that is a terminal, else lines."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: it was closed when Python started
        yield _say_event
        return
    from rich.console import Console
    from rich.live import Live

    table = _LiveTable()
    with Live(console=Console(stderr=True), get_renderable=table.render, refresh_per_second=8, transient=True):
        yield table.take


def _say_event(event: dict[str, Any]) -> None:
    if "stage" in event:
        common.say(f"{event['stage']} …")
    elif "scored" in event:
        common.say(f"{event['scored'].name}: {_cells(event['scored'])}")


def _cells(row: Row) -> str:
    from edgekit.report.figures import percent, size

    if row.status != "ok":
        return f"{row.status}: {row.reason}"
    parts = [size(row.size_bytes or 0), f"agreement {percent(row.agreement)}"]
    parts += [f"drop {row.drop:z.2f} points"] if row.drop is not None else []
    parts += [f"{row.latency_ms:.3g} ms"] if row.latency_ms is not None else []
    return ", ".join(parts)


class _LiveTable:
    """The candidates so far, the running ones among them, and what else is going on."""

    def __init__(self) -> None:
        from rich.spinner import Spinner

        self._stage, self._spinner = "", Spinner("dots")
        self._rows: dict[str, Row | None] = {}

    def take(self, event: dict[str, Any]) -> None:
        """An event of `edgekit.optimize.run.optimize`."""
        if "stage" in event:
            self._stage = event["stage"]
        elif "layer" in event:
            self._stage = f"Measured how sensitive {event['layer']} is"
        elif "begun" in event:
            self._rows[event["begun"]] = None
        else:
            for row in (event.get("scored"), event.get("row")):
                if row is not None:
                    self._rows[row.name] = row

    def render(self) -> Any:
        """The table, with the stage below."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("candidate", "figures", box=box.SIMPLE_HEAD, pad_edge=False)
        for name, row in list(self._rows.items())[-SHOWN:]:
            table.add_row(Text(common.shown(name)), Text(common.shown("…" if row is None else _cells(row))))
        busy = [name for name, row in self._rows.items() if row is None]
        text = f"Trying {', '.join(busy)}" if busy else self._stage
        self._spinner.update(text=Text(common.shown(text)))
        return Group(*([table] if self._rows else []), self._spinner)
