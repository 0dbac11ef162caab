"""A light load generator, in a process of its own: python load.py PORT closed|open CLIENTS|RATE SECONDS FOLDER

Sends the JPEG files of a folder to /classify in turn, from one thread. Closed loop: so many clients, each sending its
next request when it has its answer. Open loop: requests at random times (a Poisson process) at this rate per second,
whatever the answers do; an answer's time counts from when its request was due. Prints JSON: the seconds, the latencies
of the answers in seconds, and how often each status came.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections import Counter, deque
from pathlib import Path

OPEN_CONNECTIONS = 64


class Client:
    """A connection with one request at a time."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self._received = b""

    def send(self, request: bytes, due: float) -> None:
        """Send a request; requests are small enough for the system's buffers."""
        self.begun, self._received = due, b""
        self.sock.sendall(request)

    def status(self) -> int | None:
        """The status, once all of the response is there."""
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server closed a connection")
        self._received += piece
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return int(head[9:12]) if len(body) >= length else None


def main() -> None:
    """Run as the command line says."""
    port, kind, amount, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    requests = [_request(path.read_bytes()) for path in sorted(Path(sys.argv[5]).glob("*.jpg"))]
    chance = random.Random(1)
    closed = kind == "closed"
    clients = [Client(port) for _ in range(int(amount) if closed else OPEN_CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.sock, selectors.EVENT_READ, client)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    sent = 0
    idle, due = deque(clients), deque[float]()
    begin = time.perf_counter()
    end, arrival = begin + seconds, begin
    while (now := time.perf_counter()) < end or len(idle) < len(clients):
        while not closed and arrival <= min(now, end):
            due.append(arrival)
            arrival += chance.expovariate(amount)
        while idle and now < end and (closed or due):
            idle.popleft().send(requests[sent % len(requests)], now if closed else due.popleft())
            sent += 1
        timeout = 1.0 if closed else max(min(arrival - time.perf_counter(), 1.0), 0.0)
        for key, _ in selector.select(timeout):
            ready: Client = key.data
            if (status := ready.status()) is not None:
                latencies.append(time.perf_counter() - ready.begun)
                statuses[status] += 1
                idle.append(ready)
    print(json.dumps({"seconds": time.perf_counter() - begin, "latencies": latencies, "statuses": statuses}))


def _request(image: bytes) -> bytes:
    return b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(image) + image


if __name__ == "__main__":
    main()
