"""`make android`, `edgekit package android`: how long they take, and how much larger than its model the app is."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from android_demo.tools import artifacts
from android_demo.tools import template as template_maker
from android_demo.tools.errors import UnavailableError
from benchmarks.measure import EDGEKIT, Figure, run, say
from benchmarks.models import converted, efficientnet, photos
from edgekit.package.android import template

ROUNDS = 7
SAMPLES = 20  # only the size and the time matter here


def measure(work: Path) -> list[Figure]:
    """The time of one build, and the median wall time of packaging a model of 5 MB, which has been loaded before."""
    try:
        artifacts.fetch("build")
    except UnavailableError as error:
        say(f"  left out: {error}")
        return []
    begin = time.perf_counter()
    template_maker.build(work / "template.zip")
    built = time.perf_counter() - begin
    if not template.PATH.exists():
        template_maker.build(template.PATH)
    os.environ["XDG_CONFIG_HOME"] = str(work / "config")  # the key is made once, and is no user's
    model = converted(efficientnet(work), "int8", "tflite", photos(work, SAMPLES), SAMPLES)
    app = work / "app.apk"
    command = (*EDGEKIT, "package", "android", str(model), "-o", str(app), "--ungated")
    run(*command)
    taken = statistics.median(run(*command).seconds for _ in range(ROUNDS))
    size, added = model.stat().st_size / 1e6, (app.stat().st_size - model.stat().st_size) / 1e6
    return [
        Figure("make android, its artifacts fetched before", 60, built, " s"),
        Figure("edgekit package android", 2.0, taken, " s", detail=f"EfficientNet-Lite0 int8, {size:.2f} MB"),
        Figure("the app without its model", 5.6, added, " MB", detail="arm64-v8a"),
    ]
