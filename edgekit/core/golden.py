"""Golden answers: images that travel in the spec with the model's own answers, so that any runtime can check itself."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.runtime import preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import PATTERNS, Golden, encode_scores

IMAGES = 4
MAX_SIDE = 64
CLEAR_MARGIN = 0.2


def make(classifier: Classifier, images: Iterable[NDArray[np.uint8]]) -> tuple[Golden, ...]:
    """The patterns, and up to four of `images` (RGB, uint8 [H, W, 3]) with the answers of `classifier`.

    An image is kept small (64 pixels at most on its longer side, as PNG) and only if the model's answer to the
    small image is clear: its best score leads by 0.2. Different best labels come before more of the same.
    """
    spec = classifier.spec
    found = []
    for name in PATTERNS:
        pattern = preprocess.pattern(name, spec.input.height, spec.input.width)
        found.append(Golden(pattern=name, **_answer(classifier, pattern)[0]))
    seen: set[int] = set()
    spare: list[Golden] = []
    kept: list[Golden] = []
    for image in images:
        if len(kept) == IMAGES:
            break
        small = _shrink(image)
        answer, scores = _answer(classifier, small)
        second, best = np.sort(scores)[-2:]
        if best - second < CLEAR_MARGIN:
            continue
        golden = Golden(image=base64.b64encode(_png(small)).decode(), **answer)
        label = int(scores.argmax())
        (spare if label in seen else kept).append(golden)
        seen.add(label)
    return (*found, *[*kept, *spare][:IMAGES])


def _answer(classifier: Classifier, image: NDArray[np.uint8]) -> tuple[dict[str, str], NDArray[np.float32]]:
    tensor = classifier.prepare(image)
    scores = classifier.scores(tensor[None])[0]
    digest = hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()
    return {"scores": encode_scores(scores), "input_sha256": digest}, scores


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= MAX_SIDE:
        return image
    sides = (max(1, height * MAX_SIDE // longer), max(1, width * MAX_SIDE // longer))
    return preprocess.resize(image, *sides, "bilinear-aa")


def _png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()
