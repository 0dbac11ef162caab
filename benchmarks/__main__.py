"""`python -m benchmarks [names…]`: measure, print one table, and exit with 1 when a figure misses its target."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import accuracy, conversion, memory, startup, throughput
from benchmarks.measure import Figure, say
from edgekit.cli.common import print_table

GROUPS = {
    "startup": startup.measure,
    "throughput": throughput.measure,
    "memory": memory.measure,
    "conversion": conversion.measure,
    "accuracy": accuracy.measure,
}


def main() -> int:
    """Run the groups that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(GROUPS)} (default: all)")
    names = parser.parse_args().names or list(GROUPS)
    if unknown := sorted(set(names) - set(GROUPS)):
        parser.error(f"there is no group {', '.join(unknown)}; choose from {', '.join(GROUPS)}")
    begin = time.perf_counter()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-benchmarks-") as folder:
        os.environ["EDGEKIT_CACHE"] = str(Path(folder) / "cache")
        for name in names:
            say(f"{name} …")
            figures += GROUPS[name](Path(folder))
    rows = [(each.name, each.wanted, each.found, "ok" if each.met else "MISSED", each.detail) for each in figures]
    print_table(("figure", "target", "measured", "", "in detail"), rows)
    missed = sum(not figure.met for figure in figures)
    print(f"{len(figures)} figures, {missed} missed; {time.perf_counter() - begin:.0f} s on {os.cpu_count()} cores")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
