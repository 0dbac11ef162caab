"""What `edgekit inspect --delegates` prints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgekit.core.delegates import Placement
    from edgekit.core.fitness import Fitness


def show(model: Path, *, as_json: bool) -> None:
    """Print which operators of a `.tflite` file each delegate takes, and which runtime it needs."""
    from edgekit.core.fitness import fitness
    from edgekit.runtime.spec import printable

    found = fitness(model)
    if as_json:
        common.print_json({"path": model, **_document(found)})
        return
    count = len(found.operators)
    click.echo(f"{printable(str(model))}: {count} {'operator' if count == 1 else 'operators'}, {_runtime(found)}")
    for problem in found.problems.values():
        click.echo(f"  but {problem}")
    names = [placement.name for placement in found.placements]
    groups = _groups(found)
    common.print_table(
        ("operator", "computes in", "count", *names),
        [(name, kind, str(len(numbers)), *(_taken(one, numbers) for one in found.placements))
         for (name, kind), numbers in groups.items()],
    )
    common.print_table(
        ("delegate", "where", "operators", "MACs", "islands", "copies"),
        [
            (
                one.name,
                one.where,
                f"{sum(each.taken for each in one.operators)} of {len(one.operators)}",
                "–" if one.macs is None else f"{one.macs:.1%}",
                str(one.islands) if one.rest == 0 else f"{one.islands}, and {one.rest} on the CPU",
                str(one.copies),
            )
            for one in found.placements
        ],
    )
    for placement in found.placements:
        for line in _reasons(placement, groups):
            common.tell(line)
    common.tell("The rules and their sources: edgekit/core/delegates.json; --json names them operator by operator.")


def _runtime(found: Fitness) -> str:
    if found.runtime[0].isdigit():
        return f"runs on TensorFlow Lite {found.runtime} and newer"
    return f"needs TensorFlow Lite {found.runtime}" if found.runtime.startswith("newer") else f"runs on {found.runtime}"


def _groups(found: Fitness) -> dict[tuple[str, str], list[int]]:
    """The numbers of the operators that are alike, in the order in which each first appears."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, (operator, kind) in enumerate(zip(found.operators, found.kinds, strict=True)):
        groups.setdefault((operator.name, kind), []).append(number)
    return groups


def _taken(placement: Placement, numbers: list[int]) -> str:
    answers = [placement.operators[number] for number in numbers]
    count = sum(answer.taken for answer in answers)
    mark = "*" if any(answer.taken and answer.reason for answer in answers) else ""
    return {0: "no", len(answers): f"yes{mark}"}.get(count, f"{count} of {len(answers)}{mark}")


def _reasons(placement: Placement, groups: dict[tuple[str, str], list[int]]) -> Iterator[str]:
    """A line for each operator that a delegate leaves, or takes on a condition."""
    if placement.breaks:
        yield f"{placement.name}: {placement.breaks}"
        return
    for (name, kind), numbers in groups.items():
        answers = [placement.operators[number] for number in numbers]
        for reason in dict.fromkeys(answer.reason for answer in answers if answer.reason):
            count = sum(answer.reason == reason for answer in answers)
            what = f"{name} ({kind}{f'; {count} of {len(numbers)}' if count < len(numbers) else ''})"
            taken = any(answer.taken and answer.reason == reason for answer in answers)
            yield f"{placement.name}{'*' if taken else ''}: {what}: {reason}"


def _document(found: Fitness) -> dict[str, Any]:
    operators = [
        {
            "name": operator.name, "version": operator.version, "computes_in": kind, "macs": operator.macs,
            "delegates": {one.delegate: dataclasses.asdict(one.operators[number]) for one in found.placements},
        }
        for number, (operator, kind) in enumerate(zip(found.operators, found.kinds, strict=True))
    ]
    placements = {
        one.delegate: {
            "name": one.name, "where": one.where, "operators": sum(each.taken for each in one.operators),
            "macs": one.macs, "islands": one.islands, "cpu_islands": one.rest, "copies": one.copies,
            "breaks": one.breaks,
        }
        for one in found.placements
    }
    return {"runtime": found.runtime, "problems": found.problems, "delegates": placements, "operators": operators}
