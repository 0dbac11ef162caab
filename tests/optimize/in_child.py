"""What tests let a child process do in place of `edgekit.optimize.candidate.make`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from edgekit.optimize import candidate, sensitivity


def make_or_crash(**arguments: Any) -> None:
    """Die of a real signal for float16, run out of memory for dynamic, and make everything else."""
    if arguments["plan"]["scheme"] == "float16":
        os.kill(os.getpid(), signal.SIGSEGV)
    if arguments["plan"]["scheme"] == "dynamic":
        raise MemoryError
    candidate.make(**arguments)


def make_and_count(**arguments: Any) -> None:
    """Make the candidate, and note so in the file that EDGEKIT_TEST_LOG names."""
    with Path(os.environ["EDGEKIT_TEST_LOG"]).open("a") as log:
        log.write(f"{arguments['plan']['scheme']} {arguments['plan']['ranges']}\n")
    candidate.make(**arguments)


def wait(**arguments: Any) -> None:
    """Say in a file that it runs, and wait to be killed."""
    Path(os.environ["EDGEKIT_TEST_LOG"]).write_text(str(os.getpid()))
    time.sleep(600)


def measure_or_crash(**arguments: Any) -> None:
    """Measure layer by layer, and die of a real signal at the one that EDGEKIT_TEST_CRASHING names."""
    for layer in arguments["layers"]:
        if layer == os.environ["EDGEKIT_TEST_CRASHING"]:
            os.kill(os.getpid(), signal.SIGABRT)
        sensitivity.measure(**{**arguments, "layers": [layer]})
