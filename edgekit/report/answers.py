"""What a candidate answers, beside its reference: the part that the pages of a validation and of a search share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekit.report.confusion import confusion
from edgekit.report.figures import count
from edgekit.report.gallery import MOST_IMAGES, gallery
from edgekit.report.page import Html, beside, element, figure, join, paragraph, shown, table
from edgekit.report.parts import MOST_CLASSES, reliability_figure, surely
from edgekit.report.plots import MOST_POINTS, recall_bars, recall_legend, score_scatter
from edgekit.validate.run import Candidate, Evidence


def answered(candidate: Candidate, labels: Sequence[str], evidence: Evidence, number: int) -> Iterator[Html]:
    """What a candidate answers, beside its reference: plots, confusions, recalls, and where they disagree.

    `labels` are the reference's; `number` is the candidate's, from 0.
    """
    ours, theirs = evidence.scores[0], evidence.scores[number + 1]
    answers, other = ours.argmax(1), theirs.argmax(1)
    rows = np.arange(len(ours))
    plots = []
    if evidence.truth is not None:
        plots.append(reliability_figure({"reference": ours, "candidate": theirs}, evidence.truth))
        caption = f"Answers of the candidate, {count(len(ours), 'image')}"
        matrix = confusion(evidence.truth, other, labels, ("label", "answer"), caption)
    else:
        caption = f"Answers of the reference and of the candidate, {count(len(ours), 'image')}"
        matrix = confusion(answers, other, labels, ("reference", "candidate"), caption)
    drawn = f" At most {MOST_POINTS:,} images are drawn." if len(ours) > MOST_POINTS else ""
    plots.append(
        figure(
            score_scatter(ours[rows, answers], theirs[rows, answers], answers == other),
            join((element("b", "Scores of the reference's answers. "),
                  "Each dot is an image: the score that the reference gives to its own answer, and the score that the "
                  "candidate gives to that answer. On the line they are the same; the images on which the models "
                  f"disagree are crosses.{drawn}")),
        )
    )
    yield beside(*plots)
    yield matrix
    yield from sureness(evidence, number + 1)
    if evidence.truth is not None:
        yield _recalls(candidate, labels)
    yield from _disagreements(labels, evidence, number)


def sureness(evidence: Evidence, number: int) -> Iterator[Html]:
    """What a model's threshold for "not sure" does, where it has one. 0 is the reference."""
    threshold = evidence.specs[number].output.calibration.threshold
    if threshold is not None and evidence.truth is not None:
        said = surely(evidence.scores[number], evidence.truth, threshold)
        yield paragraph(f"Below a best score of {threshold:.4g} its answer is “not sure”: {said}.")


def _recalls(candidate: Candidate, labels: Sequence[str]) -> Html:
    recalls = sorted(candidate.parity.recalls, key=lambda each: (each.change, each.candidate))
    which = f", the {MOST_CLASSES} of {len(recalls)} classes that lost most" if len(recalls) > MOST_CLASSES else ""
    return table(
        ["label", "images", recall_legend(), "reference", "candidate", "change in points"],
        [
            (shown(labels[each.label]), str(each.images), recall_bars(each.reference, each.candidate),
             f"{each.reference:.1%}", f"{each.candidate:.1%}", f"{each.change:+z.1f}" if each.change else "0")
            for each in recalls[:MOST_CLASSES]
        ],
        f"Recall by class{which}",
    )


def _disagreements(labels: Sequence[str], evidence: Evidence, number: int) -> Iterator[Html]:
    ours, theirs = evidence.scores[0], evidence.scores[number + 1]
    answers, other = ours.argmax(1), theirs.argmax(1)
    where = np.flatnonzero(answers != other)
    yield element("h3", "Where they disagree")
    if not len(where):
        yield paragraph(f"On none of the {count(len(ours), 'image')}.")
        return
    moved = ours[where, answers[where]] - theirs[where, answers[where]]
    chosen = where[np.argsort(-moved, kind="stable")][:MOST_IMAGES].tolist()
    which = f"; the {len(chosen)} whose scores moved most" if len(chosen) < len(where) else ""
    yield paragraph(f"On {len(where)} of {count(len(ours), 'image')}{which}:")
    entries = []
    for index in chosen:
        lines = [
            _said("reference", labels, answers[index], ours[index, answers[index]]),
            _said("candidate", labels, other[index], theirs[index, other[index]]),
        ]
        if evidence.truth is not None:
            truth = evidence.truth[index]
            fate = "lost" if truth == answers[index] else "gained" if truth == other[index] else "both wrong"
            lines.insert(0, join((element("b", fate), ": it is ", shown(labels[truth]))))
        entries.append((index, lines))
    yield gallery(evidence.data, entries, evidence.specs[0].preprocess.orientation)


def _said(who: str, labels: Sequence[str], answer: int, score: float) -> Html:
    return join((f"{who}: ", shown(labels[answer]), f" {score:.1%}"))
