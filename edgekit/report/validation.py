"""The report page of `edgekit validate`: the verdict, what it rests on, and where the models disagree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgekit.core import files, versions
from edgekit.report import figures
from edgekit.report.answers import answered, sureness
from edgekit.report.confusion import confusion, how_to_read
from edgekit.report.layers import drift_part
from edgekit.report.page import (
    Html,
    bullets,
    element,
    page,
    paragraph,
    section,
    shown,
    table,
)
from edgekit.report.parts import (
    digest,
    facts,
    feeding,
    origin,
    skipped,
    tools,
)
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
        *(
            section(
                candidate.path.name,
                *answered(candidate, found.labels, found.evidence, number),
                *(drift_part(candidate.drift, candidate.path) if candidate.drift is not None else ()),
                anchor=f"candidate{number}",
            )
            for number, candidate in enumerate(found.candidates)
        ),
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
        *sureness(found.evidence, 0),
    )


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
