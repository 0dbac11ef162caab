"""How much the server takes at once: what a stranger can make it hold, decode and run is bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one request and of the queue.

    Attributes:
        body: bytes of a request's body.
        held: bytes of the bodies of all requests that are being answered.
        images: images in one request.
        pixels: width · height of one image.
        request_pixels: pixels of all images of one request.
        waiting: images that are accepted and not answered yet, of all requests together.
        seconds: how long a request waits for its answers.
    """

    body: int = 32 << 20
    held: int = 256 << 20
    images: int = 32
    pixels: int = 50_000_000
    request_pixels: int = 100_000_000
    waiting: int = 64
    seconds: float = 60.0
