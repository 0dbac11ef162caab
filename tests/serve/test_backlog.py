"""A socket that takes no more connections keeps those that it has."""

from __future__ import annotations

import socket

import pytest

from edgekit.serve.backlog import take_no_more


def test_who_has_connected_stays_and_others_have_to_wait() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        address = listening.getsockname()
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
