"""What stamping writes into a model: the verdict, and golden answers to images that it was judged by."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from edgekit.core import embed, golden, probe
from edgekit.data.dataset import Dataset
from edgekit.data.splits import evenly
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import Golden, ModelSpec, Verdict

CANDIDATES = 48  # images that golden answers are chosen from
UNDECIDED = "inconclusive"  # the longest outcome: so that a file is not larger in the end
ANY = Verdict(
    UNDECIDED,
    "0" * 64,
    "0" * 64,
    "0" * 64,
    10**9,
    dict.fromkeys(
        ("agreement", "max_difference", "reference_top1", "top1", "drop", "drop_low", "drop_high"), -1 / 3
    ),
    dict.fromkeys(("max_drop", "min_agreement", "max_latency_ms", "max_size_bytes"), 1 / 3),
)


def answers(path: Path, data: Dataset) -> tuple[Golden, ...]:
    """The golden answers of a model, to some of these images; a `.keras` file keeps those that it has."""
    if modelfile.sniff(path) == "keras":
        return _spec(path).golden
    classifier = Classifier(path)
    orientation = classifier.spec.preprocess.orientation
    return golden.make(classifier, (data.read(index, orientation) for index in evenly(len(data), CANDIDATES)))


def size_with(path: Path, golden_answers: tuple[Golden, ...], verdict: Verdict = ANY) -> int:
    """Bytes of the file once it is stamped with these answers, and with this verdict or the longest that there is."""
    spec = dataclasses.replace(_spec(path), verdict=verdict, golden=golden_answers)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        stamped = Path(folder) / path.name
        embed.write_spec(path, spec, stamped)
        return stamped.stat().st_size


def write(path: Path, verdict: Verdict, golden_answers: tuple[Golden, ...]) -> None:
    """Stamp a model."""
    embed.write_spec(path, dataclasses.replace(_spec(path), verdict=verdict, golden=golden_answers), path)
    probe.mark_vetted(path)


def _spec(path: Path) -> ModelSpec:
    spec = modelfile.read_spec(path)
    assert spec is not None
    return spec
