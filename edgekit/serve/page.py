"""The page at `/`: one HTML file with its style and script inside, which its content security policy knows by digest.

It shows labels and messages as text only, asks nothing but this server, and may be put into no other page.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

from edgekit.serve.messages import Response

_FOLDER = Path(__file__).parent


@functools.cache
def response() -> Response:
    """The page with its headers."""
    style, script = (_FOLDER.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    body = _FOLDER.joinpath("page.html").read_text("utf-8").replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(200, body.encode(), {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    })


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
