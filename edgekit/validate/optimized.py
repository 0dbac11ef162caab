"""What `edgekit optimize` found: all candidates, the way to the best, and its figure on images nothing was tuned on.

It lies here, before the rooms that make it and show it, since the report shows what the search found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.quantize.plan import Plan
from edgekit.validate.gate import Gate
from edgekit.validate.run import Candidate, Evidence

OBJECTIVES = ("size", "latency", "accuracy")
OK, UNFIT, FAILED, CRASHED = "ok", "unfit", "failed", "crashed"


@dataclass(frozen=True)
class Row:
    """One candidate, as measured on the selection part.

    Attributes:
        plan: how it was quantized, and `name` the same in words.
        status: ok; unfit (made, but the target's runtime cannot run it or answers wrongly); failed (no file came of
            it, or one that answers nonsense); crashed (its child process died, or ran out of time or memory).
        reason: why it is not ok; may quote names from the model.
        size_bytes: of its file. Like all figures below None where it could not be measured.
        latency_ms: median for one image on one thread of the machine of `Optimized.machine`.
        top1: share of right answers, 0..1; None without labels. `drop` is what the reference has more, in points.
        agreement: share of images with the reference's top-1 answer, 0..1.
        mean_difference: of the scores from the reference's, over images and labels.
        meets: it is ok and within all budgets, by these point estimates.
        lost_because: why it is not the one that was chosen; empty for the winner.
        file: its name in the folder of `--keep`; None where nothing was kept.
    """

    plan: Plan
    name: str
    status: str
    reason: str = ""
    size_bytes: int | None = None
    latency_ms: float | None = None
    top1: float | None = None
    drop: float | None = None
    agreement: float | None = None
    mean_difference: float | None = None
    meets: bool = False
    lost_because: str = ""
    file: str | None = None


@dataclass(frozen=True)
class Step:
    """One step of the search in a line: what was tried, what it showed, or why it was left out.

    `rows` are the candidates that it is about, indices into `Optimized.rows`.
    """

    text: str
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """How much one layer suffers: the signal-to-noise ratio of the model's output with only this layer quantized.

    Attributes:
        tensor: the operator's first output in the float core, as in `Plan.keep_float`.
        layer: the name of its Keras layer, or of the tensor where that is not known; text from the file.
        kind: of operator, as in CONV_2D or Conv.
        sqnr_db: in decibels; lower is worse.
        bytes: what its weights take more in float than in 8 bits.
        gain_per_byte: share of the output's noise power that goes when the layer is back in float, per byte.
    """

    tensor: str
    layer: str
    kind: str
    sqnr_db: float
    bytes: int
    gain_per_byte: float


@dataclass(frozen=True)
class Optimized:
    """The outcome of a search.

    Attributes:
        source: the model that was optimized, and `data` the images.
        output: what was written; None when nothing was.
        target: whose runtime the file is for: android, raspberry-pi or any.
        objective: what is best among the candidates within the budgets: size, latency or accuracy.
        gate: the budgets.
        parts: number of images by part: calibration, selection, final.
        labelled: whether accuracy could be measured; `labels` are the model's.
        reference_top1: of the float source on the selection part; None without labels.
        reference_size_bytes: of the source's file.
        rows: all candidates in the order in which they were tried.
        front: those that no other one beats in accuracy, size and latency at once, indices into `rows`.
        winner: the index of the chosen one; None when none is within the budgets.
        sensitivity: of each layer with weights, the worst first; empty where it was not measured.
        trail: what was tried, in order.
        final: the winner against the source on the final part, which nothing was tuned on, and its judgement; None
            without a winner.
        seed: of the split.
        latencies: milliseconds by candidate's name, as `--latencies` reads them.
        machine: where they were measured.
        warnings: what the user should know whatever the outcome is.
        skipped: images that could not be read, with the reason.
        evidence: what the final figure rests on, image by image: source first, then the winner.
    """

    source: Path
    data: Path
    output: Path | None
    target: str
    objective: str
    gate: Gate
    parts: dict[str, int]
    labelled: bool
    labels: tuple[str, ...]
    reference_top1: float | None
    reference_size_bytes: int
    rows: tuple[Row, ...]
    front: tuple[int, ...]
    winner: int | None
    sensitivity: tuple[Sensitivity, ...]
    trail: tuple[Step, ...]
    final: Candidate | None
    seed: int
    latencies: dict[str, float]
    machine: str
    warnings: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    evidence: Evidence | None = field(repr=False, compare=False, metadata={"json": False})

    @property
    def succeeded(self) -> bool:
        """A candidate was within the budgets, and did not fail on the final part."""
        return self.output is not None
