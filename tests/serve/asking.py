"""Requests to an API without a network."""

from __future__ import annotations

import io
import json
from typing import Any

from edgekit.serve.api import Api
from edgekit.serve.messages import Request, Response


def ask(api: Api, method: str, target: str, body: bytes | object = b"", **headers: str) -> Response:
    """A request to a path with its query; a body that is no bytes is sent as JSON; X_y is the header x-y."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = target.partition("?")
    sent = {"host": "localhost", "content-length": str(len(content))}
    sent |= {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return api.handle(Request(method, path, query, sent, io.BytesIO(content).read))


def told(response: Response, status: int = 200) -> Any:
    """The JSON in a response of this status."""
    found = json.loads(response.body)
    assert response.status == status, found
    assert response.headers["Content-Type"] == "application/json"
    return found
