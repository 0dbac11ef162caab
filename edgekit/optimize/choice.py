"""Which candidate is best: budgets, the objective, and the Pareto front. All by point estimates on the selection part.

Sizes within 10 % of each other count as equal, and latencies, too: a file that is 6 % smaller and runs half as fast is
no better (`weight8` against `int8`), and times on a busy machine differ by some per cent from one run to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.figures import size
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import OK, Row

TOLERANCE = {"size": 0.1, "latency": 0.1}
# What is compared, in this order, among candidates that meet the budgets.
ORDER = {
    "size": ("size", "latency", "accuracy"),
    "latency": ("latency", "size", "accuracy"),
    "accuracy": ("accuracy", "size", "latency"),
}

CLOSENESS = ("agreement", "difference")  # what decides among equals


def misses(row: Row, gate: Gate, labelled: bool, stamp_bytes: int = 0) -> list[str]:
    """The budgets that a measured candidate does not keep to, in words; its stamp will add so many bytes."""
    limits = gate.limits(labelled)
    found = []
    for name, value, form in (
        ("max_drop", row.drop, "a drop of {:.2f} points is above {:g}"),
        ("max_latency_ms", row.latency_ms, "{:.3g} ms are above {:g}"),
    ):
        if name in limits and value is not None and value > limits[name]:
            found.append(form.format(value, limits[name]))
    least, agreement = limits.get("min_agreement"), row.agreement
    if least is not None and agreement is not None and 100 * agreement < least:
        found.append(f"an agreement of {100 * agreement:.2f} % is below {least:g}")
    most = gate.max_size_bytes
    if most is not None and row.size_bytes is not None and row.size_bytes + stamp_bytes > most:
        golden = f" and {size(stamp_bytes)} of golden answers" if stamp_bytes else ""
        found.append(f"{size(row.size_bytes)}{golden} are above {size(most)}")
    return found


def choose(rows: Sequence[Row], objective: str) -> tuple[int | None, dict[int, str]]:
    """The best of the candidates that meet their budgets, and why each of the others of them is not.

    Returns:
        Its index, None when none meets them; and a reason by index.
    """
    left = [index for index, row in enumerate(rows) if row.meets]
    worse_in: dict[int, str] = {}
    for aspect in (*ORDER[objective], *CLOSENESS):
        kept = _best(rows, left, aspect)
        worse_in |= dict.fromkeys(set(left) - set(kept), aspect)
        left = kept
    if not left:
        return None, {}
    best = rows[left[0]]
    reasons = {index: _worse(rows[index], best, aspect) for index, aspect in worse_in.items()}
    reasons |= dict.fromkeys(left[1:], f"no better than {best.name}, which is simpler")
    return left[0], reasons


def closest(rows: Sequence[Row], indices: Sequence[int]) -> int | None:
    """Of these candidates the one whose answers are nearest to the source's, whatever it costs."""
    left = [index for index in indices if rows[index].status == OK]
    for aspect in ("accuracy", *CLOSENESS):
        left = _best(rows, left, aspect)
    return left[0] if left else None


def front(rows: Sequence[Row]) -> tuple[int, ...]:
    """The Pareto front of accuracy (agreement without labels), size and latency: candidates that none other dominates.

    One dominates another when it is at least as good in all three, and better in one, by the tolerances above.
    """
    measured = [index for index, row in enumerate(rows) if row.status == OK]
    return tuple(
        index for index in measured if not any(_dominates(rows[other], rows[index]) for other in measured)
    )


def _dominates(one: Row, other: Row) -> bool:
    pairs = [(_value(one, aspect), _value(other, aspect), _tolerance(aspect)) for aspect in ORDER["size"]]
    return all(ours <= theirs + tolerance * abs(theirs) for ours, theirs, tolerance in pairs) and any(
        ours < theirs - tolerance * abs(theirs) for ours, theirs, tolerance in pairs
    )


def _best(rows: Sequence[Row], left: list[int], aspect: str) -> list[int]:
    """Those that are as good as the best in one respect. Each of the others is worse than any of them."""
    best = min((_value(rows[index], aspect) for index in left), default=0.0)
    return [index for index in left if _value(rows[index], aspect) <= best + _tolerance(aspect) * abs(best)]


def _tolerance(aspect: str) -> float:
    return TOLERANCE.get(aspect, 0.0)


def _value(row: Row, aspect: str) -> float:
    """How bad a candidate is: smaller is better."""
    if aspect == "size":
        return float(row.size_bytes or 0)
    if aspect == "latency":
        return row.latency_ms or 0.0
    if aspect == "accuracy" and row.drop is not None:
        return row.drop
    if aspect == "difference":
        return row.mean_difference or 0.0
    return 100 - 100 * (row.agreement or 0.0)


def _worse(row: Row, best: Row, aspect: str) -> str:
    if aspect == "size":
        return f"larger than {best.name}: {size(row.size_bytes or 0)} against {size(best.size_bytes or 0)}"
    if aspect == "latency":
        return f"slower than {best.name}: {row.latency_ms or 0:.3g} ms against {best.latency_ms or 0:.3g} ms"
    if aspect == "accuracy" and row.drop is not None and best.drop is not None:
        return f"less accurate than {best.name}: its drop is {row.drop:z.2f} points against {best.drop:z.2f}"
    if aspect == "difference":
        ours, theirs = row.mean_difference or 0.0, best.mean_difference or 0.0
        return f"its scores differ more from the source's than those of {best.name}: {ours:.2g} against {theirs:.2g}"
    return (
        f"agrees less with the source than {best.name}: {100 * (row.agreement or 0):.2f} % "
        f"against {100 * (best.agreement or 0):.2f} %"
    )
