"""Who may ask: the host that a request names, the page that it comes from, and its token.

A server on this machine is within reach of every page in its user's browser. A page of another origin is refused by
its Origin header, which browsers send with every POST (CSRF); one whose own name was pointed at this machine (DNS
rebinding) by its Host header. An address as host is harmless: only names can be pointed elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable
from edgekit.serve.messages import Refused

MIN_TOKEN = 16
# RFC 3986: host and port; underscores are used in the names of containers.
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
_PORTS = {"http": "80", "https": "443"}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class Guard:
    """The checks of one API."""

    def __init__(self, *, hosts: Iterable[str] | None = None, token: str | None = None) -> None:
        """Take requests for these hosts and for addresses (None: for any), with this token (None: with none).

        Raises:
            EdgekitError: the token is too short, or has characters that no header can carry.
        """
        self._hosts = None if hosts is None else frozenset(host.lower().rstrip(".") for host in hosts)
        if token is not None and (len(token) < MIN_TOKEN or not _TOKEN.fullmatch(token)):
            raise EdgekitError(
                f"The token must have at least {MIN_TOKEN} letters and digits.", "Make one with: openssl rand -hex 24"
            )
        self._token = None if token is None else f"Bearer {token}".encode()

    @property
    def wants_token(self) -> bool:
        """Whether requests need a token."""
        return self._token is not None

    def check_source(self, headers: Mapping[str, str]) -> None:
        """Raise Refused (400, 403) when the request is for another host, or comes from a page of another origin."""
        found = _HOST.fullmatch(headers.get("host", "").lower())
        if not found:
            raise Refused(400, "The request names no proper host.")
        name, port = found[1].rstrip("."), found[2]
        if self._hosts is not None and name not in self._hosts and not _is_address(name):
            raise Refused(
                403, f"This server does not answer for the host {printable(name)}.",
                f"If it should: edgekit serve --allow-host {printable(name)}",
            )
        origin = headers.get("origin")
        if origin is None:
            return
        said = _ORIGIN.fullmatch(origin.lower())
        page = _HOST.fullmatch(said[2]) if said else None
        default = _PORTS[said[1]] if said else ""
        if not page or (page[1].rstrip("."), page[2] or default) != (name, port or default):
            raise Refused(403, "Pages of other origins may not use this server.")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Raise Refused (401) without the right token."""
        if self._token is None:
            return
        said = headers.get("authorization", "").encode("utf-8", "replace")
        scheme, _, value = said.partition(b" ")
        if not hmac.compare_digest(scheme.capitalize() + b" " + value.strip(), self._token):
            raise Refused(
                401, "The request carries no valid token.", "Send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": 'Bearer realm="edgekit"'},
            )


def local_hosts() -> set[str]:
    """The names of this machine."""
    name = socket.gethostname().lower()
    return {"localhost", name, f"{name}.local"}


def read_token(path: Path) -> str:
    """The token in a file: its text without the white space around it.

    Raises:
        EdgekitError: the file cannot be read.
    """
    try:
        return path.read_bytes()[:4096].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise EdgekitError(f"The token file {printable(str(path))} cannot be read: {reason}.") from error


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
