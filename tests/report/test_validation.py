"""The page of a validation says what the validation found, of hostile names too, and stays small."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.calibration import reliability
from edgekit.report import figures
from edgekit.report.gallery import MOST_IMAGES
from edgekit.report.validation import validation_page, write_validation
from edgekit.runtime.spec import ScoreCalibration
from edgekit.validate.run import Validation, validate
from tests import models
from tests.keras_models import images
from tests.report.parsed import Page
from tests.session_models import MANY

# Answers wrongly where blue is not far above red.
BLUNT = models.WEIGHTS * np.array([[1.0], [1.0], [0.3]], np.float32)
CLASSES = 1000


def checked(found: Validation) -> Page:
    page = Page(validation_page(found))
    page.check_closed()
    page.check_accessible()
    return page


def first(found: Validation) -> Validation:
    """As if there were the first candidate alone."""
    evidence = found.evidence
    alone = dataclasses.replace(evidence, scores=evidence.scores[:2], specs=evidence.specs[:2])
    return dataclasses.replace(found, candidates=found.candidates[:1], evidence=alone)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("validation")


@pytest.fixture(scope="module")
def labelled(folder: Path, many: Path) -> Validation:
    reference = models.with_spec(models.tflite(folder / "reference.tflite"))
    blunt = models.with_spec(models.tflite(folder / "blunt.tflite", weights=BLUNT), models.spec(scheme="int8"))
    return validate(reference, [blunt, reference], many)


@pytest.fixture(scope="module")
def unlabelled(folder: Path, labelled: Validation) -> Validation:
    np.savez(folder / "bare.npz", x=images(120)[0])
    return validate(folder / "reference.tflite", [folder / "blunt.tflite"], folder / "bare.npz")


@pytest.fixture(scope="module")
def hostile(folder: Path) -> Validation:
    """A thousand labels that are markup, or turn the text around, or are very long."""
    random = np.random.default_rng(0)
    forms = ("<script>alert({})</script>", "\u202e\"onload='x' &amp; {}", "שלום {}", "{}" + "x" * 400)
    labels = [forms[number % len(forms)].format(number) for number in range(CLASSES)]
    weights = np.asarray(random.normal(size=(CLASSES, 3)) / 20, np.float32)
    noisy = weights + np.asarray(random.normal(size=weights.shape) / 400, np.float32)
    paths = [
        models.with_spec(models.tflite(folder / name, weights=each), models.spec(labels=labels))
        for name, each in (("<b>.tflite", weights), ("<img src=x>.tflite", noisy))
    ]
    pixels = random.integers(0, 256, (2000, 1, 1, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    np.savez(folder / "<i>.npz", x=pixels, y=random.integers(0, CLASSES, 2000), labels=np.array(labels))
    return validate(paths[0], paths[1:], folder / "<i>.npz")


# --- the verdict and the figures


def test_the_verdict_comes_first(labelled: Validation) -> None:
    page = checked(labelled)
    assert page.all("h1")[0].text == "2 candidates: 1 passes, 1 fails"
    blunt, same = page.all("section", "verdict")
    assert page.all("section")[:2] == [blunt, same]
    assert (blunt.attributes["class"], same.attributes["class"]) == ("verdict fail", "verdict pass")
    assert blunt.all("h2")[0].text == "✗ FAIL blunt.tflite"
    assert blunt.all("p")[0].text == labelled.candidates[0].judgement.reasons[0]
    assert page.all("p", "lead")[0].text == (
        "Compared with reference.tflite on 480 labelled images of many.npz, each model fed by its own spec."
    )


def test_one_candidate_is_in_the_title(labelled: Validation) -> None:
    page = checked(first(labelled))
    assert page.all("title")[0].text == page.all("h1")[0].text == "FAIL: blunt.tflite"


def test_notes_are_part_of_the_verdict(labelled: Validation) -> None:
    noted = dataclasses.replace(labelled.candidates[0], notes=("the input is <8×8>",))
    page = checked(dataclasses.replace(first(labelled), candidates=(noted,)))
    assert [line.text for line in page.all("section", "verdict")[0].all("li")] == ["the input is <8×8>"]


def test_the_tables_are_those_of_the_command(labelled: Validation) -> None:
    page = checked(labelled)
    for caption, columns in (
        ("What the models answer", figures.answers(labelled)), ("What they cost", figures.costs(labelled))
    ):
        head, *rows = page.table(caption)
        assert head == ["model", *columns]
        assert [row[0] for row in rows] == ["reference.tflite", "blunt.tflite", "reference.tflite"]
        assert [row[1:] for row in rows] == [list(row) for row in zip(*columns.values(), strict=True)]
    parity = labelled.candidates[0].parity
    assert page.table("What the models answer")[2][1:3] == [
        f"{100 * (parity.candidate_top1 or 0):.2f} %", f"{100 * parity.agreement:.2f} %"
    ]


# --- what the verdict rests on


def test_the_confusion_matrices(labelled: Validation) -> None:
    page = checked(labelled)
    evidence = labelled.evidence
    assert evidence.truth is not None
    shown = page.table("Answers of the reference, 480 images")
    assert shown[0] == ["label ↓ answer →", "red", "green", "blue"]
    assert [(row[0], row[place]) for place, row in enumerate(shown[1:], 1)] == [(name, "160") for name in models.LABELS]
    rows = checked(first(labelled)).table("Answers of the candidate, 480 images")[1:]
    counts = [[int(cell.replace("·", "0")) for cell in row[1:]] for row in rows]
    truth, answers = evidence.truth, evidence.scores[1].argmax(1)
    assert counts == [[((truth == row) & (answers == column)).sum() for column in range(3)] for row in range(3)]
    assert sum(map(sum, counts)) == MANY
    assert counts[2][2] < 160


def test_recall(labelled: Validation) -> None:
    page = checked(first(labelled))
    head, worst, *rest = page.table("Recall by class")
    assert head == ["label", "images", "referencecandidate", "reference", "candidate", "change in points"]
    [blue] = [each for each in labelled.candidates[0].parity.recalls if labelled.labels[each.label] == "blue"]
    assert worst == ["blue", "160", "", "100.0%", f"{blue.candidate:.1%}", f"{blue.change:+.1f}"]
    assert [row[0] for row in rest] == ["red", "green"]
    drawn = [picture.attributes["aria-label"] for picture in page.all("svg")]
    assert f"recall 100.0% and {blue.candidate:.1%}" in drawn


def test_reliability(labelled: Validation) -> None:
    evidence = labelled.evidence
    assert evidence.truth is not None
    errors = [100 * reliability(scores, evidence.truth).error for scores in evidence.scores[:2]]
    said = f"Expected calibration error: {errors[0]:.1f} points (reference), {errors[1]:.1f} points (candidate)."
    assert checked(labelled).all("figcaption")[0].text.endswith(said)


def test_a_threshold_is_said_with_what_it_does(labelled: Validation) -> None:
    evidence = labelled.evidence
    spec = evidence.specs[1]
    output = dataclasses.replace(spec.output, calibration=ScoreCalibration(1, 0.5))
    calibrated = dataclasses.replace(spec, output=output)
    changed = dataclasses.replace(evidence, specs=(evidence.specs[0], calibrated, evidence.specs[2]))
    [said] = re.findall("Below a best score of [^<]*", checked(dataclasses.replace(labelled, evidence=changed)).source)
    sure = evidence.scores[1].max(1) >= 0.5
    right = sure & (evidence.scores[1].argmax(1) == evidence.truth)
    assert said == (
        f"Below a best score of 0.5 its answer is “not sure”: {sure.sum()} of 480 images ({sure.mean():.1%}) are "
        f"answered surely; {right.sum()} of these ({right.sum() / sure.sum():.1%}) are right."
    )
    assert "not sure" not in checked(labelled).source


def test_the_images_on_which_they_disagree(labelled: Validation) -> None:
    page = checked(labelled)
    evidence = labelled.evidence
    apart = np.flatnonzero(evidence.scores[0].argmax(1) != evidence.scores[1].argmax(1))
    assert len(apart) > MOST_IMAGES
    assert f"On {len(apart)} of 480 images; the 24 whose scores moved most:" in page.source
    assert "On none of the 480 images." in page.source  # the other candidate is the reference itself
    pictures = page.all("img")
    assert len(pictures) == MOST_IMAGES
    moved = evidence.scores[0].max(1) - evidence.scores[1][np.arange(MANY), evidence.scores[0].argmax(1)]
    worst = apart[moved[apart].argmax()]
    assert pictures[0].attributes["alt"] == f"Image {evidence.data.name(int(worst))}"
    lines = [line.text for line in page.all("ul", "gallery")[0].all("figcaption")[0].children]
    answer = models.LABELS[evidence.scores[1][worst].argmax()]
    assert lines == [
        evidence.data.name(int(worst)), "lost: it is blue", f"reference: blue {evidence.scores[0][worst].max():.1%}",
        f"candidate: {answer} {evidence.scores[1][worst].max():.1%}",
    ]


def test_provenance(labelled: Validation) -> None:
    page = checked(labelled)
    assert ["SHA-256", labelled.evidence.data.digest()] in page.table("Data")
    assert ["scheme", "int8"] in page.table("blunt.tflite")
    assert ["input", "8×8 RGB, float32; crop none, resize bilinear-aa"] in page.table("blunt.tflite")
    assert page.table("Validation")[0] == ["gate", "max drop 1"]
    assert str(labelled.data.parent) not in page.source  # no path of this machine


def test_images_that_were_skipped(labelled: Validation) -> None:
    page = checked(dataclasses.replace(labelled, skipped=tuple((f"<{n}>.png", "it is damaged") for n in range(30))))
    assert "30 images were left out: they could not be read" in page.source
    lines = [line.text for line in page.all("ul")[-1].all("li")]
    assert (lines[0], lines[-1], len(lines)) == ("<0>.png: it is damaged", "… and 10 more", 21)


# --- without labels, and with many


def test_without_labels(unlabelled: Validation) -> None:
    page = checked(unlabelled)
    assert page.all("p", "lead")[0].text.startswith("Compared with reference.tflite on 120 unlabelled images of bare")
    assert "it has no accuracy, no recall and no reliability" in page.source
    assert page.table("What the models answer")[0] == ["model", "agreement", "Δ max/mean"]
    head, *rows = page.table("Answers of the reference and of the candidate")
    assert head == ["reference ↓ candidate →", "red", "green", "blue"]
    agreed = sum(int(row[place + 1].replace("·", "0")) for place, row in enumerate(rows))
    assert agreed == round(120 * unlabelled.candidates[0].parity.agreement)
    assert not [table for table in page.all("table") if table.all("caption")[0].text.startswith("Recall")]
    assert len(page.all("svg")) == 1
    assert not re.search("lost|gained", " ".join(caption.text for caption in page.all("figcaption")))


def test_a_thousand_hostile_labels(hostile: Validation, folder: Path) -> None:
    write_validation(hostile, folder / "hostile.html")
    assert (folder / "hostile.html").stat().st_size < 200_000
    page = Page((folder / "hostile.html").read_text("utf-8"))
    page.check_closed()
    page.check_accessible()
    assert page.all("h1")[0].text.endswith(": <img src=x>.tflite")
    assert not {"\u202e", "<script>", "<i>"} & set(re.findall("\u202e|<script>|<i>", page.source))
    pairs = page.table("Answers of the candidate, 2,000 images: the 20 most frequent of ")
    assert len(pairs) == 21
    assert any("<script>alert(" in cell for row in pairs for cell in row)
    assert len(page.table("Recall by class, the 30 of ")) == 31
    assert len(page.all("img")) <= MOST_IMAGES
    assert max(len(name.text) for name in page.all("bdi")) <= 200


def test_a_validation_can_be_compared_and_printed_without_its_evidence(labelled: Validation) -> None:
    assert labelled == dataclasses.replace(labelled)
    assert "evidence" not in repr(labelled)
