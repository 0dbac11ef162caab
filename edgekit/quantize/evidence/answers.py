"""What the float model itself says to the images: whether it is fed as in its training, and whether it knows them.

A spec with the wrong mean and std gives wrong ranges, and no library notices. So the model is also fed in the usual
other ways, and its answers are compared: by who is right where there are labels, and otherwise by how much the answers
depend on the image (their mutual information with it: the entropy of the mean answer less the mean entropy of the
answers). Measured on digits and photos: fed rightly 2.2 and 0.36 nats of 2.3 and 0.69 possible; scaled wrongly 0.00 to
1.2 and 0.00 to 0.03.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.splits import evenly
from edgekit.quantize.evidence.finding import REFUSAL, WARNING, Finding
from edgekit.runtime.classify import to_scores
from edgekit.runtime.spec import ModelSpec, printable

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Raw outputs [N, …] of the float core for pixels, float32 [N, height, width, channels]."""

MIN_JUDGED = 20  # fewer images say nothing about a model
MOST_JUDGED = 60  # images that the model is fed in other ways
BETTER = 0.1  # of the images
CHANCE = 1e-4  # how rarely chance may do what we call better
INFORMATION = 1.5, 0.1  # times, plus nats
DOUBTFUL_ACCURACY, DOUBTFUL_INFORMATION = 0.8, 0.2
SATURATED = 60.0  # nats between the best and the second score; trained models measure 2 to 20
STILL = 0.1  # nats; images of one class move scores by more
OVERSURE = 0.4
TOLD_APART = 0.25  # of the way from chance to all right, in the mean over the classes
GUESSED = 0.2  # how often who always says the commonest class is right as often


@dataclass(frozen=True)
class Feeding:
    """A usual way to normalise: real = (byte − mean) / std."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


FEEDINGS = (
    Feeding("from 0 to 255, as they are", (0.0,), (1.0,)),
    Feeding("scaled to 0..1 (mean 0, std 255)", (0.0,), (255.0,)),
    Feeding("scaled to −1..1 (mean 127.5, std 127.5)", (127.5,), (127.5,)),
    Feeding(
        "normalised as torchvision does (mean 123.675,116.28,103.53, std 58.395,57.12,57.375)",
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
    ),
)


@dataclass(frozen=True)
class Answers:
    """What a model says to N images.

    `scores` is float32 [N, labels]; `truth` int [N], or None where the images have no labels that the model knows.
    `margin` is how many nats the best score is above the second (median).
    """

    scores: NDArray[np.float32]
    truth: NDArray[np.integer] | None
    margin: float

    @property
    def right(self) -> NDArray[np.bool_] | None:
        """Which answers are right."""
        return None if self.truth is None else self.scores.argmax(1) == self.truth

    @property
    def accuracy(self) -> float | None:
        """The share of right answers."""
        return None if self.right is None else float(self.right.mean())

    @property
    def confidence(self) -> float:
        """The mean of the best scores."""
        return float(self.scores.max(1).mean())

    @property
    def information(self) -> float:
        """How much an answer says about the image, in nats."""
        return _entropy(self.scores.mean(0)) - float(np.mean([_entropy(row) for row in self.scores]))

    @property
    def spread(self) -> float:
        """How many nats a score moves from image to image (standard deviation)."""
        return float(np.log(np.maximum(self.scores.astype(np.float64), 1e-12)).std(0).mean())

    def part(self, indices: NDArray[np.integer]) -> Answers:
        """Of some of the images."""
        truth = None if self.truth is None else self.truth[indices]
        return Answers(self.scores[indices], truth, self.margin)


def read(outputs: NDArray[np.float32], truth: NDArray[np.integer] | None, spec: ModelSpec) -> Answers:
    """The answers in a model's raw outputs [N, …]."""
    scores = to_scores(outputs, spec.output, len(spec.labels))
    return Answers(scores, truth, _margin(outputs.reshape(len(outputs), -1), spec))


def examine(
    found: Answers, pixels: NDArray[np.uint8], run: Run, spec: ModelSpec, *, only_if_doubtful: bool = False
) -> Iterator[Finding]:
    """What the answers say about the images and about how the model is fed.

    Args:
        found: to the images, fed as the spec says.
        pixels: the images, uint8 [N, height, width, channels].
        run: the float core.
        only_if_doubtful: run the model in other ways only where its answers give a reason to.
    """
    if len(pixels) < MIN_JUDGED:
        return
    if not only_if_doubtful or _doubtful(found):
        other = _better_feeding(found, pixels, run, spec)
        if other:
            yield other
            return
    if found.truth is not None and found.accuracy is not None:
        sure = found.confidence - found.accuracy >= OVERSURE
        if len(set(found.truth.tolist())) > 1 and (sure or _guessed(found, found.truth, found.accuracy)):
            yield Finding(
                "answers",
                WARNING,
                f"The float model itself gets only {found.accuracy:.1%} of the calibration images right.",
                "Are the labels in the order of the model's outputs, and mean, std and resize those of its training?",
                f"It is {found.confidence:.0%} sure of its answers." if sure else "",
            )
            return
    given = set(found.scores.argmax(1).tolist())
    if len(given) == 1 and (found.truth is None or len(set(found.truth.tolist())) > 1):
        yield Finding(
            "answers",
            WARNING,
            f"The float model answers {printable(spec.labels[given.pop()])!r} to every image.",
            "Calibrate on images of all classes, and check mean and std of the spec.",
        )


def _doubtful(found: Answers) -> bool:
    if found.margin >= SATURATED:
        return True
    if found.accuracy is not None:
        return found.accuracy < DOUBTFUL_ACCURACY
    possible = math.log(min(found.scores.shape))
    return found.information < DOUBTFUL_INFORMATION * possible


def _guessed(found: Answers, truth: NDArray[np.integer], accuracy: float) -> bool:
    """Whether who always says the commonest class would be right as often, and classes are told apart hardly better."""
    counts = np.bincount(truth)
    present = counts > 0
    recall = np.bincount(truth, found.scores.argmax(1) == truth)[present] / counts[present]
    chance = 1 / present.sum()
    as_often = _tail(round(accuracy * len(truth)), len(truth), counts.max() / len(truth))
    return bool(as_often > GUESSED and recall.mean() < chance + TOLD_APART * (1 - chance))


def _better_feeding(found: Answers, pixels: NDArray[np.uint8], run: Run, spec: ModelSpec) -> Finding | None:
    some = np.array(evenly(len(pixels), MOST_JUDGED))
    found, values = found.part(some), pixels[some].astype(np.float32)
    mean, std = np.asarray(spec.preprocess.mean, np.float32), np.asarray(spec.preprocess.std, np.float32)
    best: tuple[tuple[bool, float], Feeding, Answers] | None = None
    for feeding in FEEDINGS:
        if len(feeding.mean) not in (1, len(mean)) or _same(feeding, spec):
            continue
        wanted = (values - np.asarray(feeding.mean, np.float32)) / np.asarray(feeding.std, np.float32)
        answers = read(run(wanted * std + mean), found.truth, spec)
        if not np.isfinite(answers.scores).all():
            continue
        merit = _oftener_right(answers, found), answers.accuracy or answers.information
        shrinks = float(np.mean(feeding.std)) > float(np.mean(std))
        if (merit[0] or _tells_more(answers, found, shrinks)) and (best is None or merit > best[0]):
            best = merit, feeding, answers
    if best is None:
        return None
    (proven, _), feeding, answers = best
    told = f"mean {_joined(spec.preprocess.mean)} and std {_joined(spec.preprocess.std)}"
    if proven:
        effect = f"It is then right on {answers.accuracy:.1%} of them, and on {found.accuracy:.1%} as it is fed now."
    elif found.margin >= SATURATED:
        effect = "As it is fed now its scores are all 0 or 1, as if its input were many times too large."
    else:
        effect = (
            f"Its answers then tell {answers.information:.2f} nats about the image, and {found.information:.2f} "
            "as it is fed now."
        )
    return Finding(
        "feeding",
        REFUSAL if proven else WARNING,
        f"The spec says {told}, but the float model knows these images better with pixels {feeding.name}.",
        "Import the model again with the --mean and --std of its training.",
        effect,
    )


def _oftener_right(answers: Answers, found: Answers) -> bool:
    """Whether the labels prove that these answers are better."""
    if answers.right is None or found.right is None or found.truth is None:
        return False
    won, lost = int((answers.right & ~found.right).sum()), int((found.right & ~answers.right).sum())
    share = float(np.bincount(found.truth).max() / len(found.truth))
    return (
        won - lost >= BETTER * len(answers.right)
        and _tail(won, won + lost, 0.5) < CHANCE
        and _tail(int(answers.right.sum()), len(answers.right), share) < CHANCE
    )


def _tells_more(answers: Answers, found: Answers, shrinks: bool) -> bool:
    """Whether these answers look more like those of a model that is fed rightly.

    Larger inputs make answers differ more, whatever is right; so a feeding that does not shrink them is believed only
    where the answers hardly depend on the image as it is.
    """
    if answers.margin >= SATURATED:
        return False
    if found.margin >= SATURATED:
        lost = (found.accuracy or 0) - (answers.accuracy or 0)
        return answers.information > 0.5 * found.information and lost < BETTER
    times, plus = INFORMATION
    differs = answers.information > times * found.information + plus
    return found.accuracy is None and differs and (shrinks or found.spread < STILL)


def _same(feeding: Feeding, spec: ModelSpec) -> bool:
    said = np.array([spec.preprocess.mean, spec.preprocess.std], np.float64)
    usual = np.array([np.broadcast_to(value, said.shape[1]) for value in (feeding.mean, feeding.std)])
    return bool(np.allclose(said, usual, rtol=0.05, atol=2.0))


def _margin(outputs: NDArray[np.float32], spec: ModelSpec) -> float:
    """The median of how far the best logit is above the second, as far as float32 shows it.

    Scores that are rounded to 0 count as 1e-38. Of a single sigmoid only low scores show it: high ones round to 1.
    """
    logits = outputs.astype(np.float64)
    if spec.output.activation != "logits":
        logits = np.log(np.maximum(logits, 1e-38))
    if logits.shape[1] == 1:
        low = logits[:, 0][logits[:, 0] < math.log(0.5)] if spec.output.activation != "logits" else logits[:, 0]
        return float(np.median(np.abs(low))) if len(low) else 0.0
    if spec.output.activation == "sigmoid":
        return 0.0
    ordered = np.sort(logits, 1)
    return float(np.median(ordered[:, -1] - ordered[:, -2]))


def _entropy(probabilities: NDArray[np.floating]) -> float:
    total = probabilities.astype(np.float64)
    total = total / max(float(total.sum()), 1e-30)
    return float(-(total * np.log(np.maximum(total, 1e-30))).sum())


def _tail(successes: int, trials: int, probability: float) -> float:
    """The probability of as many successes or more; `probability` lies between 0 and 1, and is neither."""
    ways = [math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) for k in range(trials + 1)]
    success, failure = math.log(probability), math.log1p(-probability)
    return sum(math.exp(ways[k] + k * success + (trials - k) * failure) for k in range(successes, trials + 1))


def _joined(values: tuple[float, ...]) -> str:
    different = values[:1] if len(set(values)) == 1 else values
    return ",".join(f"{value:g}" for value in different)
