"""How far a runtime's scores may be from the golden answers: the tables of docs/spec.md, "Tolerances"."""

from __future__ import annotations

DELEGATES = ("cpu", "gpu", "nnapi")  # of the app
RUNTIMES = ("litert", "tflite-runtime", "onnxruntime")  # of a Raspberry Pi

# By scheme, in the order of DELEGATES and RUNTIMES: the largest accepted difference of a score (0..1).
_APP = {
    "none": (1e-4, 0.05, 0.05),
    "float16": (1e-4, 0.05, 0.05),
    "dynamic": (0.1, 0.1, 0.1),
    "weight8": (1e-4, 0.05, 0.05),
    "weight4": (1e-4, 0.05, 0.05),
    "dynamic4": (0.1, 0.1, 0.1),
    "int8": (0.1, 0.1, 0.1),
    "int16x8": (0.02, 0.1, 0.1),
    "unknown": (0.1, 0.1, 0.1),
}
_PI = {
    "none": (1e-5, 1e-5, 1e-5),
    "float16": (1e-5, 1e-5, 1e-5),
    "dynamic": (2e-3, 0.1, 2e-3),
    "weight8": (1e-5, 1e-5, 1e-5),
    "weight4": (1e-5, 1e-5, 1e-5),
    "dynamic4": (2e-3, 2e-3, 2e-3),
    "int8": (1e-5, 0.1, 0.1),
    "int16x8": (1e-3, 1e-3, 1e-3),
    "unknown": (0.1, 0.1, 0.1),
}


def tolerance(scheme: str, delegate: str) -> float:
    """The largest accepted difference of a score from the golden answer.

    Args:
        scheme: one of `edgekit.runtime.spec.SCHEMES`.
        delegate: one of `DELEGATES` or `RUNTIMES`.
    """
    if delegate in RUNTIMES:
        return _PI[scheme][RUNTIMES.index(delegate)]
    return _APP[scheme][DELEGATES.index(delegate)]
