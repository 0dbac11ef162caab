"""Let a listening socket take no more connections without losing those that the system has made already.

Closing it resets the connections that wait to be accepted, and new ones come in until the last moment. So on Linux a
filter (socket(7), SO_ATTACH_FILTER) first drops the packets that ask for a new connection. Who sent one asks again a
second later, finds nobody listening, and knows that nothing was accepted.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h

# Classic BPF over a packet that starts with its TCP header: code, jump if true, jump if false, operand.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0x40000),  # keep anything else
)


def take_no_more(listening: socket.socket) -> None:
    """Drop who asks for a new connection; connections that are being made or wait are not touched."""
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program, len(program))
    with contextlib.suppress(OSError):  # a sandbox may forbid it; then a connection may be reset, as with any server
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_SYN), ctypes.addressof(buffer))
        )
