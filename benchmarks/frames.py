"""The Android app's way from a camera frame to the model's input, beside the obvious one in three steps, by JMH.

A frame of 1280×720 becomes 224×224 RGB bytes, on one core of this machine's JVM. It is left out without JDK and Maven.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from android_demo.tools import application, artifacts, jvm
from android_demo.tools.errors import UnavailableError
from benchmarks.measure import Figure, say

BENCHMARKS = application.ROOT / "app/src/jmh/java"
RUNTIME = ("ai/edgekit/demo/runtime", "org/tensorflow/lite")
# One thread, which JMH has by default. Single frames are timed for the median (sample); for what they allocate the
# average is taken (avgt), in which JMH allocates least itself.
ROUNDS = ["-f", "1", "-wi", "3", "-w", "1s", "-i", "3", "-r", "1s", "-rf", "json"]


def measure(work: Path) -> list[Figure]:
    """Milliseconds and bytes allocated for each frame, by rotation."""
    try:
        build, bench = artifacts.fetch("build"), artifacts.fetch("bench")
        classpath = [*application.libraries(build), application.android_jar(build), *bench.jars()]
        sources = [*(application.MAIN / "java" / folder for folder in RUNTIME), BENCHMARKS]
        classes = jvm.javac(sources, work / "jmh", classpath, bench.jars())
    except UnavailableError as error:
        say(f"  left out: {error}")
        return []
    times = _jmh(classes, classpath, work / "times.json", "-bm", "sample")
    memory = _jmh(classes, classpath, work / "memory.json", "-bm", "avgt", "-prof", "gc", "fused")
    figures = []
    for rotation in ("0", "90", "180", "270"):
        ours, obvious = (
            times[f"{name}/{rotation}"]["primaryMetric"]["scorePercentiles"]["50.0"] for name in ("fused", "threeSteps")
        )
        figures.append(
            Figure(f"frame 1280×720 to 224×224, turned by {rotation}°", 4, ours, " ms",
                   detail=f"in three steps {obvious:.3g} ms")
        )  # fmt: skip
    rates = [one["secondaryMetrics"]["gc.alloc.rate.norm"]["score"] for one in memory.values()]
    # JMH itself allocates some 10 kB in each iteration, which is spread over its frames; the tests hold the 0 exactly.
    figures.append(Figure("frame: bytes allocated", 128, max(rates), " B", detail="all of it JMH's own"))
    return figures


def _jmh(classes: Path, classpath: list[Path], result: Path, *options: str) -> dict[str, Any]:
    """JMH's results, by method and rotation."""
    done = jvm.java(
        "org.openjdk.jmh.Main", [*ROUNDS, "-rff", str(result), *options], classpath=[classes, *classpath], timeout=600
    )
    if done.returncode or not result.exists():
        raise RuntimeError(f"JMH ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return {f"{one['benchmark'].rpartition('.')[2]}/{one['params']['rotation']}": one
            for one in json.loads(result.read_text())}  # fmt: skip
