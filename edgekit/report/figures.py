"""The figures of a validation as text: the same in the terminal and on the report page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.validate.run import Candidate, Validation
    from edgekit.validate.score import Latency
    from edgekit.validate.statistics import ClassRecall

Columns = dict[str, list[str]]


def answers(found: Validation) -> Columns:
    """What the models answer, by column: the reference first, then the candidates."""
    first = found.candidates[0].parity
    accuracy = [(first.reference_top1, first.reference_top5)]
    accuracy += [(each.parity.candidate_top1, each.parity.candidate_top5) for each in found.candidates]
    columns: Columns = {}
    if found.labelled:
        columns["top-1"] = [percent(top1) for top1, _ in accuracy]
    if first.reference_top5 is not None:
        columns["top-5"] = [percent(top5) for _, top5 in accuracy]
    columns["agreement"] = ["", *(percent(each.parity.agreement) for each in found.candidates)]
    if found.labelled:
        columns["lost/gained"] = ["", *(f"{each.parity.lost}/{each.parity.gained}" for each in found.candidates)]
        columns["drop in points (95 %)"] = ["", *(_drop(each) for each in found.candidates)]
    columns["Δ max/mean"] = [
        "",
        *(f"{each.parity.max_difference:.2g}/{each.parity.mean_difference:.1g}" for each in found.candidates),
    ]
    return columns


def costs(found: Validation) -> Columns:
    """What the models cost, by column: the reference first, then the candidates."""
    latencies = [found.reference_latency, *(each.latency for each in found.candidates)]
    sizes = [found.reference_size_bytes, *(each.size_bytes for each in found.candidates)]
    rates = [found.reference_images_per_second, *(each.images_per_second for each in found.candidates)]
    return {
        "scheme": ["reference", *(each.scheme for each in found.candidates)],
        "size": [size(value) for value in sizes],
        "ms p50/p95": [_times(each)[0] for each in latencies],
        "all threads": [_times(each)[1] for each in latencies],
        "images/s": [f"{rate:.0f}" for rate in rates],
    }


def changed_recalls(candidate: Candidate) -> list[ClassRecall]:
    """The classes whose recall changed, most first."""
    return sorted((recall for recall in candidate.parity.recalls if recall.change), key=lambda each: -abs(each.change))


def percent(value: float | None) -> str:
    """A share (0..1) in per cent; a dash where it is not known."""
    return "–" if value is None else f"{100 * value:.2f} %"


def size(value: int) -> str:
    """A number of bytes, as people write it: 29.3 KB."""
    amount = float(value)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 image, 2 images."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def summary(outcomes: Sequence[str]) -> str:
    """What became of the candidates, in words: 2 of 2 candidates pass."""
    said = {"pass": ("passes", "pass"), "fail": ("fails", "fail"), "inconclusive": ("is undecided", "are undecided")}
    parts = [
        f"{number} {one if number == 1 else many}"
        for outcome, (one, many) in said.items()
        if (number := outcomes.count(outcome))
    ]
    if len(parts) == 1:
        return f"{len(outcomes)} of {len(outcomes)} candidates {said[outcomes[0]][1]}"
    return f"{len(outcomes)} candidates: {', '.join(parts)}"


def _drop(candidate: Candidate) -> str:
    parity = candidate.parity
    if parity.drop is None or parity.drop_interval is None:
        return "–"
    low, high = parity.drop_interval
    return f"{parity.drop:z.2f} ({low:z.2f} to {high:z.2f})"


def _times(latency: Latency | None) -> tuple[str, str]:
    if latency is None:
        return "–", "–"
    return f"{latency.p50:.2f}/{latency.p95:.2f}", f"{latency.p50_all_threads:.2f}/{latency.p95_all_threads:.2f}"
