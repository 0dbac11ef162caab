from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgekit.runtime.pi.watchdog import Watchdog


@pytest.mark.parametrize("abstract", [False, True])
def test_what_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@edgekit-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        systemd.settimeout(5)
        watchdog = Watchdog({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
        assert watchdog.seconds == 60
        watchdog.ready()
        for _ in range(100):
            watchdog.alive()  # once a quarter of the limit
        watchdog.stopping()
        assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_systemd() -> None:
    watchdog = Watchdog({})
    assert watchdog.seconds is None
    watchdog.ready()
    watchdog.alive()


def test_a_socket_that_is_gone(tmp_path: Path) -> None:
    Watchdog({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000"}).alive()
