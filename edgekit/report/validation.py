"""The report page of `edgekit validate`: the verdict, what it rests on, and where the models disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgekit.core import files, versions
from edgekit.report import figures
from edgekit.report.confusion import confusion, how_to_read
from edgekit.report.gallery import MOST_IMAGES, gallery
from edgekit.report.page import (
    Html,
    beside,
    bullets,
    element,
    figure,
    join,
    page,
    paragraph,
    section,
    shown,
    table,
)
from edgekit.report.parts import (
    MOST_CLASSES,
    digest,
    facts,
    feeding,
    origin,
    reliability_figure,
    skipped,
    surely,
    tools,
)
from edgekit.report.plots import MOST_POINTS, score_scatter
from edgekit.runtime import modelfile
from edgekit.validate.run import Candidate, Validation

TOOLS = ("ai-edge-litert", "onnxruntime", "keras", "numpy", "pillow")  # what answered and decoded
BADGES = {"pass": "✓ PASS", "fail": "✗ FAIL", "inconclusive": "? INCONCLUSIVE"}


def write_validation(found: Validation, path: Path) -> None:
    """Write the page of a validation: one HTML file with its thumbnails, that needs no network and no script.

    Its size is bounded: of many classes, images or disagreements it shows some, and says which.

    Raises:
        OutputError: the file cannot be written.
        EdgekitError: a model's file can no longer be read.
    """
    files.write_text(path, validation_page(found))


def validation_page(found: Validation) -> Html:
    """The page that `write_validation` writes."""
    outcomes = [candidate.judgement.outcome for candidate in found.candidates]
    if len(outcomes) == 1:
        title = f"{BADGES[outcomes[0]][2:]}: {found.candidates[0].path.name}"
    else:
        title = figures.summary(outcomes)
    labelled = "labelled image" if found.labelled else "unlabelled image"
    lead = paragraph(
        "Compared with ", shown(found.reference.name), f" on {figures.count(found.images, labelled)} of ",
        shown(found.data.name), ", each model fed by its own spec.", kind="lead",
    )
    return page(
        title,
        lead,
        *(_verdict(candidate, number, linked=len(outcomes) > 1) for number, candidate in enumerate(found.candidates)),
        section("Figures", *_tables(found)),
        *_reference(found),
        *(_candidate(found, number) for number in range(len(found.candidates))),
        section("Provenance", *_provenance(found)),
    )


def _verdict(candidate: Candidate, number: int, linked: bool) -> Html:
    outcome = candidate.judgement.outcome
    name = shown(candidate.path.name)
    return element(
        "section",
        element("h2", element("span", BADGES[outcome], class_="badge"), " ",
                element("a", name, href=f"#candidate{number}") if linked else name),
        paragraph(" ".join(candidate.judgement.reasons)),
        bullets(candidate.notes),
        class_=f"verdict {outcome}",
    )


def _tables(found: Validation) -> Iterator[Html]:
    names = [shown(path.name) for path in (found.reference, *(candidate.path for candidate in found.candidates))]
    for columns, caption in (
        (figures.answers(found), f"What the models answer to {figures.count(found.images, 'image')}"),
        (figures.costs(found), "What they cost on the machine that validated them"),
    ):
        yield table(["model", *columns], list(zip(names, *columns.values(), strict=True)), caption)
    agreement = "Agreement is the share of images with the same best answer. Δ is the difference of probabilities."
    labelled = "Lost: the reference is right and the candidate wrong; gained: the other way round. " \
        "A negative drop is a gain; its 95 % interval is Tango's score interval of paired shares. "
    yield paragraph((labelled if found.labelled else "") + agreement, kind="note")
    if not found.labelled:
        yield paragraph(
            "The data has no labels, so this page shows how far the models agree, and not how often they are right: "
            "it has no accuracy, no recall and no reliability.",
            kind="note",
        )


def _reference(found: Validation) -> Iterator[Html]:
    """How right the reference is, where that is known."""
    evidence = found.evidence
    if evidence.truth is None:
        return
    caption = f"Answers of the reference, {figures.count(found.images, 'image')}"
    yield section(
        f"The reference: {found.reference.name}",
        confusion(evidence.truth, evidence.scores[0].argmax(1), found.labels, ("label", "answer"), caption),
        how_to_read(found.labels),
        *_sureness(found, 0),
    )


def _candidate(found: Validation, number: int) -> Html:
    evidence, candidate = found.evidence, found.candidates[number]
    ours, theirs = evidence.scores[0], evidence.scores[number + 1]
    answers, other = ours.argmax(1), theirs.argmax(1)
    rows = np.arange(len(ours))
    plots = []
    if evidence.truth is not None:
        plots.append(reliability_figure({"reference": ours, "candidate": theirs}, evidence.truth))
        caption = f"Answers of the candidate, {figures.count(found.images, 'image')}"
        matrix = confusion(evidence.truth, other, found.labels, ("label", "answer"), caption)
    else:
        caption = f"Answers of the reference and of the candidate, {figures.count(found.images, 'image')}"
        matrix = confusion(answers, other, found.labels, ("reference", "candidate"), caption)
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
    return section(
        candidate.path.name,
        beside(*plots),
        matrix,
        *_sureness(found, number + 1),
        *_recalls(found, candidate),
        *_disagreements(found, number),
        anchor=f"candidate{number}",
    )


def _sureness(found: Validation, number: int) -> Iterator[Html]:
    """What the model's threshold for "not sure" does, where it has one. 0 is the reference."""
    evidence = found.evidence
    threshold = evidence.specs[number].output.calibration.threshold
    if threshold is not None and evidence.truth is not None:
        said = surely(evidence.scores[number], evidence.truth, threshold)
        yield paragraph(f"Below a best score of {threshold:.4g} its answer is “not sure”: {said}.")


def _recalls(found: Validation, candidate: Candidate) -> Iterator[Html]:
    if not found.labelled:
        return
    recalls = sorted(candidate.parity.recalls, key=lambda each: (each.change, each.candidate))
    which = f", the {MOST_CLASSES} of {len(recalls)} classes that lost most" if len(recalls) > MOST_CLASSES else ""
    yield table(
        ["label", "images", "reference", "candidate", "change in points"],
        [
            (shown(found.labels[each.label]), str(each.images), f"{each.reference:.1%}", f"{each.candidate:.1%}",
             f"{each.change:+z.1f}" if each.change else "0")
            for each in recalls[:MOST_CLASSES]
        ],
        f"Recall by class{which}",
    )


def _disagreements(found: Validation, number: int) -> Iterator[Html]:
    evidence = found.evidence
    ours, theirs = evidence.scores[0], evidence.scores[number + 1]
    answers, other = ours.argmax(1), theirs.argmax(1)
    where = np.flatnonzero(answers != other)
    yield element("h3", "Where they disagree")
    if not len(where):
        yield paragraph(f"On none of the {figures.count(found.images, 'image')}.")
        return
    moved = ours[where, answers[where]] - theirs[where, answers[where]]
    chosen = where[np.argsort(-moved, kind="stable")][:MOST_IMAGES].tolist()
    which = f"; the {len(chosen)} whose scores moved most" if len(chosen) < len(where) else ""
    yield paragraph(f"On {len(where)} of {figures.count(found.images, 'image')}{which}:")
    entries = []
    for index in chosen:
        lines = [
            _said("reference", found.labels, answers[index], ours[index, answers[index]]),
            _said("candidate", found.labels, other[index], theirs[index, other[index]]),
        ]
        if evidence.truth is not None:
            truth = evidence.truth[index]
            fate = "lost" if truth == answers[index] else "gained" if truth == other[index] else "both wrong"
            lines.insert(0, join((element("b", fate), ": it is ", shown(found.labels[truth]))))
        entries.append((index, lines))
    yield gallery(evidence.data, entries, evidence.specs[0].preprocess.orientation)


def _said(who: str, labels: Sequence[str], answer: int, score: float) -> Html:
    return join((f"{who}: ", shown(labels[answer]), f" {score:.1%}"))


def _provenance(found: Validation) -> Iterator[Html]:
    evidence, limits = found.evidence, found.gate.limits(labelled=found.labelled)
    yield facts(
        [
            ("source", shown(found.data.name)),
            ("images", f"{found.images:,}"),
            ("classes", f"{len(found.labels):,}"),
            ("SHA-256", digest(evidence.data.digest())),
        ],
        "Data",
    )
    for path, spec in zip((found.reference, *(each.path for each in found.candidates)), evidence.specs, strict=True):
        rows = [("SHA-256", digest(modelfile.digest(path))), ("scheme", spec.scheme), ("input", feeding(spec))]
        yield facts([*rows, *origin(spec)], path.name)
    yield facts(
        [
            ("gate", ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in sorted(limits.items()))),
            ("tools", tools(versions.of(*TOOLS))),
        ],
        "Validation",
    )
    yield skipped(found.skipped)
