"""The API on a socket: waitress, with limits for slow clients and an end that loses nothing."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import time
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import EdgekitError, MissingExtraError
from edgekit.runtime.spec import printable
from edgekit.serve.api import Api
from edgekit.serve.backlog import take_no_more
from edgekit.serve.flask import application
from edgekit.serve.messages import JSON, Request, error_document

CONNECTIONS = 128
SPARE_THREADS = 8  # for requests that need no model, when all others wait for one
HEADER_BYTES = 32 << 10
SETTLING = 0.2  # seconds, on ending, in which connections that are being made become complete


@dataclass(frozen=True)
class Patience:
    """How long the server waits for its clients, in seconds; `rate` in bytes per second.

    Attributes:
        idle: for a connection on which nothing happens.
        request: for a request that has begun, and longer for a larger one: by the time that it needs at `rate`.
        rate: the slowest upload that is waited for.
        lingering: for a client to read why its body was refused, before the connection is closed.
        last_request: on ending, for connections without a request.
        drain: on ending, for requests that have begun, beyond the seconds that an answer may take.
    """

    idle: float = 30.0
    request: float = 20.0
    rate: float = 8 << 10
    lingering: float = 2.0
    last_request: float = 1.0
    drain: float = 5.0


class Server:
    """Serves an API on one address until it is told to stop."""

    def __init__(self, api: Api, host: str = "127.0.0.1", port: int = 8000, patience: Patience | None = None) -> None:
        """Bind and listen; requests are answered by `run`. Port 0 takes a free one.

        Raises:
            EdgekitError: the address cannot be had, or the extra `serve` is not installed.
        """
        self._api = api
        self._patience = patience or Patience()
        self._listener = _listener(api, _bound(host, port), self._patience)
        self.host, self.port = str(self._listener.effective_host), int(self._listener.effective_port)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def run(self) -> None:
        """Answer requests until `stop`; then finish those that have been sent, and return."""
        while not self._listener.draining:
            self._poll(1.0)
        self._drain()
        self._api.close()

    def stop(self) -> None:
        """Make `run` end. May be called from another thread or from a signal handler, and again."""
        if self._listener.draining:
            return
        self._api.draining = True
        self._listener.draining = True
        self._listener.pull_trigger()

    def _poll(self, seconds: float) -> None:
        self._listener.asyncore.loop(timeout=seconds, use_poll=True, map=self._listener._map, count=1)

    def _drain(self) -> None:
        """Accept who has connected already, answer what is sent, and close each connection after its answer.

        A client that keeps a connection open may be sending on it right now, so it has a moment to do so.
        """
        channels = self._listener.active_channels
        take_no_more(self._listener.socket)
        begin = time.monotonic()
        while time.monotonic() < begin + SETTLING:
            self._poll(SETTLING / 10)
        for _ in range(self._listener.adj.backlog):
            before = len(channels)
            self._listener.handle_accept()
            if len(channels) == before:
                break
        self._listener.stop_listening()
        begin = time.monotonic()
        while channels and time.monotonic() < begin + self._api.limits.seconds + self._patience.drain:
            self._poll(0.05)
            self._listener.maintenance(time.time())
            if time.monotonic() > begin + self._patience.last_request:
                for channel in list(channels.values()):
                    channel.close_if_idle()
        for channel in list(channels.values()):
            channel.handle_close()
        self._listener.task_dispatcher.shutdown()
        self._listener.trigger.close()


def _bound(host: str, port: int) -> socket.socket:
    shown = f"{printable(host)}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise EdgekitError(f"Cannot serve on {shown}: {reason}.", "Choose another --host.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise EdgekitError(f"Cannot serve on {shown}: {error.strerror}.", "Choose another --port or --host.") from error
    return bound


def _listener(api: Api, bound: socket.socket, patience: Patience) -> Any:
    """waitress' server on a bound socket, with tasks and channels of our own.

    waitress reads requests without a thread, and hands them to one when they are complete.
    """
    try:
        from waitress.adjustments import Adjustments
        from waitress.channel import HTTPChannel
        from waitress.parser import HTTPRequestParser
        from waitress.server import TcpWSGIServer
        from waitress.task import ErrorTask, WSGITask
        from waitress.utilities import RequestEntityTooLarge
    except ImportError as error:
        raise MissingExtraError("The server", "serve", "waitress") from error

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        """What comes of a request. A body that the API would refuse unread is not waited for, and not stored."""

        unread = False
        body_rcv: Any

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.body_rcv is not None and api.refuses_unread(_without_body(self)):
                self.unread, self.body_rcv, self.content_length, self.expect_continue = True, None, 0, False

    class Task(WSGITask):  # type: ignore[misc]
        """A request's answer; while the server ends, or when its body was left unread, it closes the connection."""

        def build_response_header(self) -> bytes:
            if self.request.unread:
                self.channel.body_comes = True
                self.set_close_on_finish()
            if self.channel.server.draining and len(self.channel.requests) <= 1:
                self.set_close_on_finish()
            header: bytes = super().build_response_header()
            return header

    class JsonErrorTask(ErrorTask):  # type: ignore[misc]
        """The answer to what is no proper request, or too large a one."""

        def execute(self) -> None:
            error = self.request.error
            body = json.dumps(error_document(f"{error.reason}: {printable(str(error.body))[:200]}")).encode()
            self.status = f"{error.code} {error.reason}"
            self.response_headers.append(("Content-Type", JSON))
            self.content_length = len(body)
            self.channel.body_comes = isinstance(error, RequestEntityTooLarge)
            self.set_close_on_finish()
            self.write(body)

    class Channel(HTTPChannel):  # type: ignore[misc]
        """A connection. Whoever sends a request too slowly is cut off, whoever sends too large a body hears why."""

        parser_class, task_class, error_task_class = Parser, Task, JsonErrorTask
        close_when_flushed: bool
        body_comes = False
        request_begun: float | None = None
        lingers_until: float | None = None

        def handle_read(self) -> None:
            if self.lingers_until is not None:
                self.recv(1 << 16)  # closes the connection when the client has
                return
            super().handle_read()
            now, request = time.monotonic(), self.request
            if request is None or self.requests or self.request_begun is None:
                self.request_begun = None if request is None else now
            elif now > self.request_begun + patience.request + _received(request) / patience.rate:
                self.will_close = True

        def handle_write(self) -> None:
            if self.body_comes and self.close_when_flushed and not self.will_close:
                self._flush_exception(self._flush_some)
                if not self.total_outbufs_len and not self.will_close:
                    # Closing now would send a reset, which makes the client's system drop our answer.
                    self.close_when_flushed = False
                    self.lingers_until = time.monotonic() + patience.lingering
                    with contextlib.suppress(OSError):
                        self.socket.shutdown(socket.SHUT_WR)
            else:
                super().handle_write()

        def close_if_idle(self) -> None:
            """Close the connection unless something is being received, answered or sent on it."""
            if self.request is None and not self.requests and not self.total_outbufs_len:
                self.will_close = True

    class Listener(TcpWSGIServer):  # type: ignore[misc]
        """The listening socket and its connections."""

        channel_class = Channel
        draining = False

        def maintenance(self, now: float) -> None:
            super().maintenance(now)
            for channel in self.active_channels.values():
                if channel.lingers_until is not None and time.monotonic() > channel.lingers_until:
                    channel.will_close = True

        def stop_listening(self) -> None:
            self.del_channel()
            self.socket.close()

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # the API says itself when too much waits
    adjustments = Adjustments(
        threads=api.limits.waiting + SPARE_THREADS,
        connection_limit=CONNECTIONS,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=api.limits.body + 1,
        channel_timeout=patience.idle,
        cleanup_interval=1,
        asyncore_use_poll=True,
        ident="edgekit",
    )
    name = (bound.family, bound.type, bound.proto, bound.getsockname())
    return Listener(application(api), {}, _sock=bound, adj=adjustments, sockinfo=name, bind_socket=False)


def _without_body(parser: Any) -> Request:
    """A request as far as its headers tell it, its path as waitress hands it on."""
    headers = {name.lower().replace("_", "-"): value for name, value in parser.headers.items()}
    return Request(parser.command.upper(), "/" + parser.path.lstrip("/"), parser.query, headers, io.BytesIO().read)


def _received(request: Any) -> int:
    """How many bytes of a request have come."""
    return int(request.header_bytes_received + request.body_bytes_received)
