"""What all protocols do with images: check them, have the engine run them, and turn what goes wrong into errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from numpy.typing import NDArray

from edgekit.core.errors import ImageError
from edgekit.runtime import images
from edgekit.serve.engine import Engine, EngineClosed, Outcome, QueueFull
from edgekit.serve.messages import Refused
from edgekit.serve.models import VERSION, ServedModel


def find(engine: Engine, name: str, version: str | None = None) -> ServedModel:
    """The model of a name and, where a protocol names one, of a version.

    Raises:
        Refused: 404.
    """
    model = engine.models.get(name)
    if model is None or version not in (None, VERSION):
        raise Refused(404, "There is no such model here." if model is None else "The model has no such version.",
                      "GET /models lists them." if model is None else f"Its version is {VERSION}.")
    return model


def run(engine: Engine, model: ServedModel, inputs: Sequence[bytes | NDArray[Any]]) -> list[Outcome]:
    """What the model answers to image files' contents, or to inputs of its own, in their order.

    Raises:
        Refused: 400, 413 or 415 for what is no image, damaged or too large; 429 when too much waits; 503.
        EdgekitError: the model fails.
    """
    _check(engine, inputs)
    try:
        futures = engine.submit(model.name, inputs)
    except QueueFull as full:
        raise Refused(
            429, "Too many images are waiting.", f"Try again in {full.retry_after} s.",
            {"Retry-After": str(full.retry_after)},
        ) from None
    except EngineClosed:
        raise Refused(503, "The server is shutting down.", headers={"Retry-After": "5"}) from None
    deadline = time.monotonic() + engine.limits.seconds
    try:
        return [_result(future, deadline) for future in futures]
    finally:
        for future in futures:
            future.cancel()  # those that nobody waits for any more


def _result(future: Future[Outcome], deadline: float) -> Outcome:
    try:
        return future.result(max(deadline - time.monotonic(), 0))
    except ImageError as error:
        raise Refused(400, error.message, error.hint) from None
    except FutureTimeout:
        raise Refused(503, "The answer took too long.", headers={"Retry-After": "10"}) from None


def _check(engine: Engine, inputs: Sequence[bytes | NDArray[Any]]) -> None:
    limits = engine.limits
    if not inputs:
        raise Refused(400, "The request has no image.")
    if len(inputs) > limits.images:
        raise Refused(413, f"The request has {len(inputs)} images; at most {limits.images} are taken at once.")
    total = 0
    for data in inputs:
        if not isinstance(data, bytes):
            continue
        if not images.is_image(data):
            raise Refused(
                415, "The request's content is not an image." if len(inputs) == 1 else "An instance is not an image.",
                f"Send one of the formats {', '.join(images.FORMATS)}.",
            )
        try:
            width, height = images.dimensions(data)
        except ImageError as error:
            raise Refused(400, error.message, error.hint) from None
        total += width * height
        if width * height > limits.pixels:
            raise Refused(413, f"The image has {width}×{height} pixels; at most {limits.pixels:,} are decoded.",
                          "Scale it down first.")
        if total > limits.request_pixels:
            raise Refused(413, f"The images have more than {limits.request_pixels:,} pixels together.",
                          "Send fewer at once.")
