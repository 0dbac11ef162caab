"""The figures of a device report as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.report.figures import Columns
    from edgekit.validate.device import DeviceValidation, JudgedRun
    from edgekit.validate.device_report import Machine


def delegates(found: DeviceValidation) -> Columns:
    """What was found about the delegates, by column."""
    columns: Columns = {}
    for each in found.runs:
        run, nodes = each.run, each.run.nodes
        row = {
            "delegate": f"{run.delegate} (chosen)" if run.delegate == found.report.chosen else run.delegate,
            "status": run.status,
            "answers": "–" if each.check is None else "right" if each.check.correct else "WRONG",
            "Δ max (tolerance)": _difference(each),
            "nodes": "–" if nodes is None else f"{nodes.delegated}/{nodes.total}",
            "threads": str(run.threads),
            "load ms": "–" if run.load_ms is None else f"{run.load_ms:.1f}",
            "ms p50/p95": _times(each),
        }
        for name, cell in row.items():
            columns.setdefault(name, []).append(cell)
    return columns


def measured(found: DeviceValidation) -> list[str]:
    """What was measured besides: the camera path, the camera screen, a sustained run; one line each."""
    camera, live, sustained = found.report.camera, found.report.live, found.throttling
    lines = []
    if camera.vectors:
        lines.append(f"camera path: {camera.vectors - len(camera.wrong)} of {camera.vectors} vectors right")
    if live is not None:
        what = "camera screen" if found.report.platform == "android" else "frames of 640×480"
        lines.append(
            f"{what} on {live.delegate}: {live.fps:.1f} frames/s, "
            f"{live.total_ms.p50:.1f}/{live.total_ms.p95:.1f} ms a frame (p50/p95), "
            f"{live.dropped:,} of {live.frames + live.dropped:,} frames dropped"
        )
    if sustained is not None:
        lines.append(
            f"{sustained.seconds:.0f} s on {sustained.delegate}: {sustained.fps_at_start:.1f} frames/s at the start, "
            f"{sustained.fps_at_end:.1f} at the end; thermal status at worst: {sustained.thermal}"
        )
    if (machine := found.report.machine) is not None:
        lines += _state(machine)
    return lines


def _state(machine: Machine) -> list[str]:
    lines = []
    if machine.temperature_before is not None and machine.temperature_after is not None:
        lines.append(f"temperature: {machine.temperature_before:.0f} °C before, "
                     f"{machine.temperature_after:.0f} °C after")
    if machine.throttled is not None:
        lines.append(f"slowed down by: {', '.join(machine.throttled) or 'nothing'}")
    if machine.memory_mb is not None:
        lines.append(f"memory: {machine.memory_mb.resident:.0f} MB, at most {machine.memory_mb.peak:.0f} MB")
    return lines


def _difference(each: JudgedRun) -> str:
    if each.check is None:
        return "–"
    largest = each.check.max_difference
    return f"{'–' if largest is None else f'{largest:.2g}'} ({each.check.tolerance:g})"


def _times(each: JudgedRun) -> str:
    timing = each.run.inference_ms
    return "–" if timing is None else f"{timing.p50:.2f}/{timing.p95:.2f}"
