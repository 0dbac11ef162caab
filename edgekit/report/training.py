"""The report page of `edgekit train`: how good the model is on images that it never saw, and where it errs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.core import files
from edgekit.report.confusion import confusion, how_to_read
from edgekit.report.curve import learning_curves
from edgekit.report.figures import count
from edgekit.report.gallery import MOST_IMAGES, gallery
from edgekit.report.page import Html, beside, bullets, element, join, page, paragraph, section, shown, table
from edgekit.report.parts import (
    MOST_CLASSES,
    digest,
    facts,
    feeding,
    interval,
    origin,
    reliability_figure,
    skipped,
    surely,
)
from edgekit.report.plots import selection_curves
from edgekit.runtime import modelfile
from edgekit.train.run import Trained


def write_training(made: Trained, path: Path) -> None:
    """Write the page of a training run: one HTML file with its thumbnails, that needs no network and no script.

    Its size is bounded: of many classes or wrong answers it shows some, and says which.

    Raises:
        OutputError: the file cannot be written.
        EdgekitError: the model's file can no longer be read.
    """
    files.write_text(path, training_page(made))


def training_page(made: Trained) -> Html:
    """The page that `write_training` writes."""
    found = made.evaluation
    answers = found.scores.argmax(1)
    images = count(len(answers), "held-out image")
    seen = "which training never saw" if made.unseen else "which the model may have seen in a training before this one"
    return page(
        f"{made.path.name}: {made.top1:.1%} right",
        paragraph(
            f"Top-1 accuracy on {images}, {seen}; the 95 % interval is "
            f"{interval(len(answers), made.top1)}.", kind="lead",
        ),
        section("How it was trained", *_summary(made)),
        section("Scores", *_calibration(made)),
        section(
            "Classes",
            confusion(found.truth, answers, made.labels, ("label", "answer"), f"Answers to {images}"),
            how_to_read(made.labels),
            _recalls(made, answers),
        ),
        section("Wrong answers", *_wrong(made, answers)),
        *_quantized(made),
        *_curves(made),
        section("Provenance", *_provenance(made)),
    )


def _summary(made: Trained) -> Iterator[Html]:
    parts = ", ".join(f"{number:,} {name}" for name, number in made.images.items())
    reason = f": {made.reason}" if made.reason else ""
    yield facts(
        [
            ("backbone", f"{made.backbone}{reason}"),
            ("images", parts),
            *([("epochs", f"{len(made.history):,}")] if made.history else []),
            ("parameters", f"{made.parameters:,}"),
            ("input", feeding(made.spec)),
        ],
        "The model",
    )
    yield bullets(made.notes)


def _calibration(made: Trained) -> Iterator[Html]:
    found, calibration = made.evaluation, made.spec.output.calibration
    scores = {"scores": found.scores}
    if calibration.temperature != 1:
        scores = {"calibrated": found.scores, "as trained": _uncalibrated(found.scores, calibration.temperature)}
    said = []
    if calibration.temperature != 1:
        said.append(f"The logits are divided by a temperature of {calibration.temperature:.4g}.")
    if calibration.threshold is None:
        said.append("There is no threshold: the model always names a label.")
    else:
        sure = surely(found.scores, found.truth, calibration.threshold)
        said.append(f"Below a best score of {calibration.threshold:.4g} the answer is “not sure”: {sure}.")
    yield beside(reliability_figure(scores, found.truth), element("div", *map(paragraph, said), class_="words"))


def _uncalibrated(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """The scores, float32 [N, labels], before their logits were divided by the temperature."""
    logits = np.log(np.maximum(scores.astype(np.float64), np.finfo(np.float32).tiny)) * temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def _recalls(made: Trained, answers: NDArray[np.intp]) -> Html:
    truth, classes = made.evaluation.truth, len(made.labels)
    images = np.bincount(truth, minlength=classes).tolist()
    right = np.bincount(truth[answers == truth], minlength=classes).tolist()
    seen = sorted((label for label in range(classes) if images[label]), key=lambda label: right[label] / images[label])
    unseen = classes - len(seen)
    which = f", the {MOST_CLASSES} worst of {classes} classes" if len(seen) > MOST_CLASSES else ""
    if unseen:
        which += f"; of {count(unseen, 'class', 'classes')} no image was held out"
    return table(
        ["label", "images", "right", "recall", "95 % interval"],
        [
            (shown(made.labels[label]), str(images[label]), str(right[label]), f"{right[label] / images[label]:.1%}",
             interval(images[label], right[label] / images[label]))
            for label in seen[:MOST_CLASSES]
        ],
        f"Recall by class, worst first{which}",
    )


def _wrong(made: Trained, answers: NDArray[np.intp]) -> Iterator[Html]:
    found = made.evaluation
    where = np.flatnonzero(answers != found.truth)
    if not len(where):
        yield paragraph(f"None: all {count(len(answers), 'held-out image')} are answered rightly.")
        return
    chosen = where[np.argsort(-found.scores[where].max(1), kind="stable")][:MOST_IMAGES].tolist()
    which = f"; the {len(chosen)} that the model is surest of" if len(chosen) < len(where) else ", the surest first"
    yield paragraph(f"{len(where)} of {count(len(answers), 'held-out image')}{which}:")
    yield gallery(
        found.data,
        [
            (
                index,
                [
                    join(("it is ", shown(made.labels[found.truth[index]]))),
                    join(("answer: ", shown(made.labels[answers[index]]), f" {found.scores[index].max():.1%}")),
                ],
            )
            for index in chosen
        ],
        made.spec.preprocess.orientation,
    )


def _quantized(made: Trained) -> Iterator[Html]:
    found = made.quantized
    if found is None:
        return
    images = len(made.evaluation.truth)
    figures = [("in float, before", found.before), ("as int8, before", found.untrained)]
    if found.kept:
        figures.append(("as int8, after", found.top1))
    yield section(
        "Quantization-aware training",
        paragraph(
            "After training, the network was trained on with its weights and activations rounded as in an int8 file. "
            + ("It answers better than before on the validation images, and is kept. " if found.kept else
               "It did not answer better than before on the validation images, so the weights are those of before. ")
            + "int8 is simulated here; a converted file can differ from that by a rounding."
        ),
        table(
            ["network", "top-1", "95 % interval"],
            [(name, f"{share:.1%}", interval(images, share)) for name, share in figures],
            f"On the {count(images, 'held-out image')}, of which int8 and float answer {found.agreement:.1%} the same",
        ),
        beside(*map(Html, learning_curves(found.history))),
    )


def _curves(made: Trained) -> Iterator[Html]:
    if made.history:
        yield section("Learning curve", beside(*map(Html, learning_curves(made.history))))
    if made.selection:
        yield section(
            "Choice of the regularisation",
            paragraph("Each strength was tried by cross-validation on the training images; the chosen one is ringed."),
            beside(*selection_curves(made.selection)),
        )


def _provenance(made: Trained) -> Iterator[Html]:
    yield facts([("SHA-256", digest(modelfile.digest(made.path))), *origin(made.spec)], made.path.name)
    yield skipped(made.skipped)
