"""`python -m benchmarks [names…]`: measure, print one table, and exit with 1 when a figure misses its target."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import (
    accuracy,
    android,
    conversion,
    frames,
    memory,
    pi,
    quantization,
    serving,
    startup,
    throughput,
    transfer,
)
from benchmarks.measure import Figure, say
from edgekit.cli.common import print_table
from edgekit.core.errors import EdgekitError
from edgekit.data.dataset import open_dataset, require_labels

GROUPS = {
    "startup": startup.measure,
    "throughput": throughput.measure,
    "memory": memory.measure,
    "conversion": conversion.measure,
    "accuracy": accuracy.measure,
    "android": android.measure,
    "frames": frames.measure,
    "serving": serving.measure,
    "pi": pi.measure,
    "quantization": quantization.measure,
}
TRANSFER = "transfer"  # which needs photos


def main() -> int:
    """Run the groups that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*GROUPS, TRANSFER)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(known)} (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="photos for transfer, in a folder for each class")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"there is no group {', '.join(unknown)}; choose from {', '.join(known)}")
    groups = dict(GROUPS)
    if arguments.data:
        photos = _photos(parser, arguments.data)
        groups[TRANSFER] = partial(transfer.measure, folder=photos)
        groups["quantization"] = partial(quantization.measure, folder=photos)
    elif TRANSFER in arguments.names:
        parser.error(f"{TRANSFER} needs photos: --data DIR")
    names = arguments.names or list(groups)
    begin = time.perf_counter()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-benchmarks-") as folder:
        os.environ["EDGEKIT_CACHE"] = str(Path(folder) / "cache")
        for name in names:
            say(f"{name} …")
            figures += groups[name](Path(folder))
    rows = [(each.name, each.wanted, each.found, "ok" if each.met else "MISSED", each.detail) for each in figures]
    print_table(("figure", "target", "measured", "", "in detail"), rows)
    missed = sum(not figure.met for figure in figures)
    print(f"{len(figures)} figures, {missed} missed; {time.perf_counter() - begin:.0f} s on {os.cpu_count()} cores")
    if not arguments.names and not arguments.data:
        print(f"--data DIR (make bench DATA=DIR) adds {TRANSFER}: learning from a folder of photos; and quantizing it")
    return 1 if missed else 0


def _photos(parser: argparse.ArgumentParser, folder: Path) -> Path:
    try:
        require_labels(open_dataset(folder))
    except EdgekitError as error:
        parser.error(error.message)
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    return folder.absolute()


if __name__ == "__main__":
    sys.exit(main())
