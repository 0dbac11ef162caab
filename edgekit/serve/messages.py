"""A request and a response as `edgekit.serve.api` sees them, whatever framework carries them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: in capitals.
        path: decoded, without the prefix that the API is mounted at; it begins with a slash.
        query: the part after the question mark, as it was sent.
        headers: by names in small letters.
        read: reads at most so many bytes of the body.
        prefix: where the API is mounted, as in `/ml`; empty at the root.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    read: Callable[[int], bytes]
    prefix: str = ""


@dataclass(frozen=True)
class Response:
    """One HTTP response; Content-Length is the framework's business."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is answered with an error: `message` says what is wrong, `hint` what to do."""

    def __init__(self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.headers = status, message, hint, dict(headers or {})


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is a line of JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(status, f"{body}\n".encode(), {"Content-Type": JSON, **(headers or {})})


def error_document(message: str, hint: str = "", request_id: str = "") -> dict[str, str]:
    """What every error's body says; TensorFlow Serving and the Open Inference Protocol have `error`, too."""
    document = {"error": message, "hint": hint, "request_id": request_id}
    return {key: text for key, text in document.items() if text or key == "error"}
