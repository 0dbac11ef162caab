"""systemd's side of the program: that it is ready, that it is alive, that it stops (man 3 sd_notify)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Watchdog:
    """Sends datagrams to the socket in NOTIFY_SOCKET; does nothing where systemd did not start the program."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: the abstract namespace
        limit = environment.get("WATCHDOG_USEC", "")
        self.seconds = int(limit) / 1e6 if limit.isdigit() else None
        self._next = 0.0

    def ready(self) -> None:
        """The model is loaded, and frames are being waited for."""
        self._send("READY=1")

    def alive(self) -> None:
        """Everything goes on; cheap enough to be called for every frame."""
        now = time.monotonic()
        if self.seconds is not None and now >= self._next:
            self._next = now + self.seconds / 4
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The program ends by itself."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(text.encode(), self._address)
