"""`edgekit --help`, beside a Python that does nothing."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks.measure import EDGEKIT, Figure, in_turns, run

ROUNDS = 15


def measure(work: Path) -> list[Figure]:
    """The median wall time."""
    ours, bare = in_turns([lambda: run(*EDGEKIT, "--help"), lambda: run(sys.executable, "-c", "pass")], ROUNDS)
    taken, nothing = (statistics.median(each.seconds for each in runs) for runs in (ours, bare))
    return [Figure("edgekit --help", 0.12, taken, " s", detail=f"python -c pass: {nothing:.3f} s")]
