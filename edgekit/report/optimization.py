"""The report page of `edgekit optimize`: what was chosen, what it cost, what was tried, and why the rest lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgekit.core import files, versions
from edgekit.report.answers import answered
from edgekit.report.figures import count, percent, size
from edgekit.report.page import (
    Html,
    beside,
    bullets,
    element,
    figure,
    join,
    page,
    paragraph,
    section,
    shown,
    table,
)
from edgekit.report.pareto import Point, pareto_plot
from edgekit.report.parts import facts, feeding, origin, skipped, tools
from edgekit.report.validation import BADGES
from edgekit.validate.optimized import OK, Optimized, Row

TOOLS = ("ai-edge-litert", "litert-quantizer", "onnxruntime", "keras", "numpy", "pillow")
MOST_LAYERS = 20
TARGETS = {"android": "the Android app", "raspberry-pi": "a Raspberry Pi", "any": "the runtime on this machine"}
BEST = {"size": "the smallest file", "latency": "the fastest", "accuracy": "the most accurate"}


def write_optimization(found: Optimized, path: Path) -> None:
    """Write the page of a search: one HTML file with its plots, that needs no network and no script.

    Raises:
        OutputError: the file cannot be written.
    """
    files.write_text(path, optimization_page(found))


def optimization_page(found: Optimized) -> Html:
    """The page that `write_optimization` writes."""
    calibration, selection, final = (found.parts[name] for name in ("calibration", "selection", "final"))
    lead = paragraph(
        "Searched for ", BEST[found.objective], f" within the budgets, for {TARGETS[found.target]}, from ",
        shown(found.source.name), " and ", shown(found.data.name),
        f". Ranges were calibrated on {count(calibration, 'image')}, candidates were chosen on {selection} others, and "
        f"the final figure is of {final} more, which nothing was tuned on.",
        kind="lead",
    )
    return page(
        _title(found),
        lead,
        _outcome(found),
        section("Candidates", *_candidates(found)),
        section("The way there", *_trail(found)),
        *_sensitivity(found),
        *_final(found),
        section("Provenance", *_provenance(found)),
    )


def _title(found: Optimized) -> str:
    if found.winner is None:
        return "No candidate is within the budgets"
    name = found.rows[found.winner].name
    if found.final is None or found.succeeded:
        return f"The best model: {name}"
    return f"The best candidate failed: {name}"


def _outcome(found: Optimized) -> Html:
    budgets = _budgets(found)
    asked = f"Asked for: {budgets}." if budgets else "There was no budget."
    if found.winner is None:
        text = "Nothing was written. The table says what each candidate misses."
        return element(
            "section",
            element("h2", element("span", "✗ NONE", class_="badge")),
            paragraph(asked, " ", text),
            bullets(found.warnings),
            class_="verdict fail",
        )
    row = found.rows[found.winner]
    costs = ", ".join(part for part in (_size(row), _latency(row)) if part != "–")
    badge, outcome = "✓ CHOSEN", "pass"
    reasons: list[str] = []
    if found.final is not None:
        outcome = found.final.judgement.outcome
        badge, reasons = BADGES[outcome], found.final.judgement.reasons
    written = join(("Written: ", shown(found.output.name), ". ")) if found.output else "Nothing was written. "
    return element(
        "section",
        element("h2", element("span", badge, class_="badge"), " ", shown(row.name)),
        paragraph(written, f"{costs}. {asked}" if costs else asked),
        paragraph("On the images that nothing was tuned on: ", " ".join(reasons)) if reasons else "",
        bullets(found.warnings),
        class_=f"verdict {outcome}",
    )


def _budgets(found: Optimized) -> str:
    gate, agreement = found.gate, found.gate.limits(found.labelled).get("min_agreement")
    limits = [
        f"at most {gate.max_drop:g} point{'' if gate.max_drop == 1 else 's'} of top-1 lost" if found.labelled else "",
        f"agreement of at least {agreement:g} %" if agreement is not None else "",
        f"at most {size(gate.max_size_bytes)}" if gate.max_size_bytes is not None else "",
        f"at most {gate.max_latency_ms:g} ms" if gate.max_latency_ms is not None else "",
    ]
    return ", ".join(limit for limit in limits if limit)


def _candidates(found: Optimized) -> Iterator[Html]:
    yield from _plots(found)
    front = set(found.front)
    accuracy = ["top-1", "drop in points"] if found.labelled else []
    columns = ["candidate", "size", "ms", *accuracy, "agreement", "outcome"]
    reference = ["float source", size(found.reference_size_bytes), "–"]
    reference += [percent(found.reference_top1), ""] if found.labelled else []
    rows: list[list[str]] = [[*reference, "", ""]]
    for number, row in enumerate(found.rows):
        name = join((element("b", f"{number + 1} "), shown(row.name)))
        accuracy = [percent(row.top1), "–" if row.drop is None else f"{row.drop:z.2f}"] if found.labelled else []
        rows.append([name, _size(row), _latency(row), *accuracy, percent(row.agreement), _fate(found, number, front)])
    yield table(columns, rows, f"All {count(len(found.rows), 'candidate')}, in the order in which they were tried",
                "figures tried")
    yield paragraph(
        f"Measured on the {count(found.parts['selection'], 'image')} for choosing; times are the median of one image "
        f"on one thread of {found.machine}. On the front is what no other candidate beats in "
        f"{'accuracy' if found.labelled else 'agreement'}, size and latency at once.",
        kind="note",
    )


def _plots(found: Optimized) -> Iterator[Html]:
    share = "top-1" if found.labelled else "agreement"
    wanted = found.gate.limits(found.labelled).get("min_agreement", 0.0) / 100 or None
    if found.labelled:
        wanted = None if found.reference_top1 is None else found.reference_top1 - found.gate.max_drop / 100
    limit = found.gate.max_size_bytes
    costs = (
        ("size", {number: row.size_bytes for number, row in enumerate(found.rows)}, size_of_axis, limit),
        ("ms", {number: row.latency_ms for number, row in enumerate(found.rows)}, "{:.3g}".format,
         found.gate.max_latency_ms),
    )
    plots = []
    for title, values, form, most in costs:
        points = [
            Point(number + 1, float(cost), quality, _kind(found, number))
            for number, row in enumerate(found.rows)
            if row.status == OK
            and (cost := values[number]) is not None
            and (quality := row.top1 if found.labelled else row.agreement) is not None
        ]
        if points:
            drawn = pareto_plot(points, title, share, form, (None if most is None else float(most), wanted))
            plots.append(figure(drawn, join((
                element("b", f"{share[0].upper()}{share[1:]} and {'size' if title == 'size' else 'latency'}. "),
                "Numbers are those of the table. The large dot was chosen, dots are on the front, rings are beaten; "
                "dotted lines are budgets.",
            ))))
    if plots:
        yield beside(*plots)


def size_of_axis(value: float) -> str:
    """A number of bytes at a tick."""
    return size(round(value)) if value else "0"


def _kind(found: Optimized, number: int) -> str:
    return "winner" if number == found.winner else "front" if number in found.front else "beaten"


def _fate(found: Optimized, number: int, front: set[int]) -> Html:
    row = found.rows[number]
    if number == found.winner:
        return element("b", "chosen")
    said = row.reason if row.status != OK else row.lost_because
    kind = "" if row.status == OK else f"{row.status}: "
    return join((element("b", kind), shown(said, 200), " (on the front)" if number in front else ""))


def _trail(found: Optimized) -> Iterator[Html]:
    lines = []
    for step in found.trail:
        numbers = ", ".join(str(number + 1) for number in step.rows)
        about = element("span", f" [{numbers}]", class_="note") if numbers else ""
        lines.append(element("li", shown(step.text, 400), about))
    yield element("ol", *lines)


def _sensitivity(found: Optimized) -> Iterator[Html]:
    if not found.sensitivity:
        return
    worst = found.sensitivity[:MOST_LAYERS]
    which = f", the worst {len(worst)} of {len(found.sensitivity)}" if len(worst) < len(found.sensitivity) else ""
    yield section(
        "Sensitivity of the layers",
        table(
            ["layer", "kind", "SQNR", "float costs"],
            [(shown(each.layer), shown(each.kind), f"{each.sqnr_db:.1f} dB", f"+{size(each.bytes)}") for each in worst],
            f"The model's output with only this layer quantized{which}",
        ),
        paragraph("SQNR is the ratio of signal to the noise of quantization; every 6 dB less is about one bit less.",
                  kind="note"),
    )


def _final(found: Optimized) -> Iterator[Html]:
    if found.final is None or found.evidence is None:
        return
    parity = found.final.parity
    said = f"Agreement {percent(parity.agreement)}"
    if parity.drop is not None:
        said = (f"Top-1 {percent(parity.reference_top1)} of the source, {percent(parity.candidate_top1)} of the chosen "
                f"model; {said[0].lower()}{said[1:]}")
    yield section(
        f"The chosen model on {count(parity.images, 'image')} that nothing was tuned on",
        paragraph(f"{said}."),
        *answered(found.final, found.labels, found.evidence, 0),
    )


def _provenance(found: Optimized) -> Iterator[Html]:
    yield facts(
        [
            ("model", shown(found.source.name)),
            ("data", shown(found.data.name)),
            ("parts", ", ".join(f"{name} {number:,}" for name, number in found.parts.items())),
            ("seed", str(found.seed)),
            ("tools", tools(versions.of(*TOOLS))),
        ],
        "Search",
    )
    if found.evidence is not None and found.output is not None:
        spec = found.evidence.specs[1]
        yield facts([("scheme", spec.scheme), ("input", feeding(spec)), *origin(spec)], found.output.name)
    yield skipped(found.skipped)


def _size(row: Row) -> str:
    return "–" if row.size_bytes is None else size(row.size_bytes)


def _latency(row: Row) -> str:
    return "–" if row.latency_ms is None else f"{row.latency_ms:.3g} ms"
