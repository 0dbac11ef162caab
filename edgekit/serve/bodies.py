"""Reading the JSON of requests."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from typing import Any

from edgekit.serve.messages import Refused

MAX_NESTED = 1 << 20  # lists and objects; each takes far more memory than the two bytes that it can be written in

# One at a time: the interpreter lock lets only one thread parse anyway, and so the parsed values of many large requests
# are not in memory at the same time.
parsing = threading.Lock()


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refused: 400 when it is none, 413 when it has too many values.
    """
    if body.count(b"[") + body.count(b"{") > MAX_NESTED:
        raise Refused(413, "The JSON in the request has too many lists.", "Send image files, or binary tensors.")
    try:
        value = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:100]
        raise Refused(400, f"The request's body is not valid JSON: {reason}.") from None
    if not isinstance(value, dict):
        raise Refused(400, "The request's body is not a JSON object.")
    return value


def image_from_base64(text: object, where: str) -> bytes:
    """An image file's content. Line breaks are passed over, as many tools write them.

    Raises:
        Refused: 400 when it is no base64.
    """
    if isinstance(text, str):
        try:
            return base64.b64decode(text.encode("ascii").translate(None, b" \t\r\n"), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise Refused(400, f"{where} is not an image in base64.")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
