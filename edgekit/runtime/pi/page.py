"""A small page with the live picture and its labels, for `--http`.

    /              the page: picture and labels over it
    /stream.mjpg   the picture as MJPEG, encoded only while somebody watches
    /answer.json   the latest answer

It listens on the loopback address only, unless a token is set; then every request must carry it, as
`Authorization: Bearer TOKEN` or, since a browser's images cannot, as `?token=TOKEN`.
"""

from __future__ import annotations

import hmac
import io
import ipaddress
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from edgekit.runtime.errors import SourceError
from edgekit.runtime.pi.loop import Result
from edgekit.runtime.pi.outputs import as_json
from edgekit.runtime.spec import printable

TOKEN = "EDGEKIT_TOKEN"  # the environment variable: arguments can be seen by all users of a machine
MIN_TOKEN = 16  # characters
MAX_CONNECTIONS = 16
JPEG_QUALITY = 80
_BOUNDARY = "edgekit-frame"
_LONGEST_WAIT = 5.0  # seconds without a new frame until the last one is sent again, which finds out who has gone
_PAGE = Path(__file__).with_name("page.html")
_POLICY = ("default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'")


class Page:
    """The server, in threads of its own; it holds the latest result and no other."""

    def __init__(self, address: str, token: str = "") -> None:
        """Listen.

        Args:
            address: `PORT` or `HOST:PORT`; port 0 takes a free one.
            token: at least 16 characters; needed for an address that others can reach.

        Raises:
            SourceError: the address cannot be listened on, or needs a token.
        """
        host, port = _parse(address)
        token = token or os.environ.get(TOKEN, "")
        if token and len(token) < MIN_TOKEN:
            raise SourceError(f"The token is too short: at least {MIN_TOKEN} characters.", "python3 -c "
                              "'import secrets; print(secrets.token_urlsafe())' prints a good one.")
        if not token and not _is_loopback(host):
            raise SourceError(f"--http {printable(address)} would show the camera to everybody in the network.",
                              f"Set a token of {MIN_TOKEN} characters or more in the environment variable {TOKEN}, "
                              "or leave out the host.")
        self._token = token.encode()
        self._changed = threading.Condition()
        self._result: Result | None = None
        self._jpeg: tuple[int, bytes] = -1, b""
        self._encoding = threading.Lock()
        self._closed = False
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise SourceError(f"--http {printable(address)} cannot be listened on: {error.strerror}.",
                              "Choose another port.") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def show(self, result: Result) -> None:
        """See `edgekit.runtime.pi.loop.Output`."""
        with self._changed:
            self._result = result
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening, and let the streams end."""
        self._server.shutdown()
        self._server.server_close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def latest(self) -> Result | None:
        """The latest result; None before the first."""
        return self._result

    def results(self) -> Iterator[Result]:
        """One result after another, the latest each time, until the page is closed.

        After some seconds without a new one the last is given again.
        """
        number = -1

        def news() -> bool:
            return self._closed or (self._result is not None and self._result.frame.number != number)

        while True:
            with self._changed:
                self._changed.wait_for(news, _LONGEST_WAIT)
                result = self._result
                if self._closed:
                    return
            if result is not None:
                number = result.frame.number
                yield result

    def jpeg(self, result: Result) -> bytes:
        """The frame as JPEG; encoded once, whoever watches."""
        with self._encoding:
            if self._jpeg[0] != result.frame.number:
                stream = io.BytesIO()
                Image.fromarray(result.frame.pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
                self._jpeg = result.frame.number, stream.getvalue()
            return self._jpeg[1]

    def admits(self, given: str) -> bool:
        """Whether this token is the right one, or none is needed."""
        return not self._token or hmac.compare_digest(given.encode(errors="replace"), self._token)

    def is_own_host(self, header: str) -> bool:
        """Whether a request's Host header is one of this machine's loopback names.

        Another name that resolves to this address is how a foreign page would read the camera (DNS rebinding); with
        a token it could not.
        """
        if self._token:
            return True
        name = urlsplit(f"//{header}").hostname or ""
        return _is_loopback(name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: Page) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.page = page
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A watcher that goes away is no error worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds; for a request to arrive, and for a watcher to take a frame
    server_version, sys_version = "edgekit", ""

    def setup(self) -> None:
        """See BaseRequestHandler. The timeout is of a single read; who sends byte after byte is cut off here."""
        super().setup()
        self._late = threading.Timer(self.timeout, self._cut_off)
        self._late.daemon = True
        self._late.start()

    def finish(self) -> None:
        """See BaseRequestHandler."""
        self._late.cancel()
        super().finish()

    def _cut_off(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        self._late.cancel()
        page, url = self.server.page, urlsplit(self.path)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        # A token is no form: openssl rand -base64 makes some with a +, which is not meant as a space.
        given = given or parse_qs(url.query.replace("+", "%2B")).get("token", [""])[0]
        if not page.is_own_host(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"This name is not known here.\n")
        elif not page.admits(given):
            self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"The token is missing or wrong: /?token=...\n")
        elif url.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.read_bytes())
        elif url.path == "/answer.json":
            result = page.latest()
            content = b"null" if result is None else as_json(result).encode()
            self._answer(HTTPStatus.OK, "application/json", content + b"\n")
        elif url.path == "/stream.mjpg":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is only /, /answer.json and /stream.mjpg.\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: stderr is for what goes wrong, and a URL may hold the token."""

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _headers(self, kind: str) -> None:
        for name, value in (("Content-Type", kind), ("Cache-Control", "no-store"), ("Content-Security-Policy", _POLICY),
                            ("Referrer-Policy", "no-referrer"), ("X-Content-Type-Options", "nosniff"),
                            ("Cross-Origin-Resource-Policy", "same-origin")):
            self.send_header(name, value)

    def _stream(self) -> None:
        self.send_response(HTTPStatus.OK)
        self._headers(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.end_headers()
        page = self.server.page
        for result in page.results():
            jpeg = page.jpeg(result)
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")


def _parse(address: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[^:\s\[\]/]+):)?(\d{1,5})", address)
    if not found or int(found[2]) > 65535:
        raise SourceError("--http takes a port, or a host and a port: 8000 or 0.0.0.0:8000.")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
