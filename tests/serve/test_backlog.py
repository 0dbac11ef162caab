"""A socket that takes no more connections keeps those that it has."""

from __future__ import annotations

import socket

import pytest

from edgekit.serve.backlog import take_no_more


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_has_connected_stays_and_others_have_to_wait(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listening:
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listening.listen(16)
        address = listening.getsockname()[:2]
        early = [socket.create_connection(address, 5) for _ in range(3)]
        take_no_more(listening)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, 0.3)
        for client in early:
            client.sendall(b"hello")
            accepted, _ = listening.accept()
            assert accepted.recv(5) == b"hello"
            accepted.close()
            client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)
