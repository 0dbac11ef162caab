"""`edgekit serve` on real sockets: slow and greedy clients, and its end."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from edgekit.core.errors import EdgekitError
from edgekit.serve.api import Api
from edgekit.serve.limits import Limits
from edgekit.serve.server import Patience, Server
from tests.serve.conftest import TOKEN, Running, command, in_thread, png

RED = png(200, 0, 0)
POST = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
IMPATIENT = Patience(idle=1.0, request=0.5, rate=1000.0, lingering=0.5, last_request=0.2, drain=5.0)


def connection(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def rest(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    try:
        while piece := sock.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def send_until_cut_off(sock: socket.socket) -> float:
    """How many seconds the other side bears it, at most 20."""
    begin = time.monotonic()
    while time.monotonic() < begin + 20:
        try:
            sock.sendall(b"\0" * (1 << 16))
        except OSError:
            break
        time.sleep(0.01)
    return time.monotonic() - begin


def not_listening(port: int) -> bool:
    """Whether connections are refused, within a few seconds."""
    for _ in range(100):
        try:
            connection(port).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it stopped listening between our two steps
            pass
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def guarded(served: Path) -> Iterator[Server]:
    """A server of one host, with a token, and little patience."""
    with in_thread(Api([served / "fixed.tflite"], token=TOKEN, hosts=["localhost"]), IMPATIENT) as server:
        yield server


def test_real_clients(running: Running) -> None:
    with requests.Session() as session:
        for _ in range(3):  # over one connection
            answer = session.post(f"{running.url}classify?top=1", data=RED, timeout=30)
            assert answer.json()["predictions"][0]["label"] == "red"
        assert session.post(f"{running.url}classify", files={"f": ("x.png", RED)}, timeout=30).status_code == 200
        chunked = session.post(f"{running.url}classify", data=iter([RED[:50], RED[50:]]), timeout=30)
        assert chunked.json()["predictions"][0]["label"] == "red"
        assert session.get(f"{running.url}v2/health/ready", timeout=30).json() == {"ready": True}
        head = session.head(running.url, timeout=30)
        assert (head.status_code, head.content) == (200, b"")
        assert answer.headers["Server"] == "edgekit"


@pytest.mark.parametrize(("sent", "status"), [
    (b"GARBAGE\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    (b"BREW /classify HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    (b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    (b"GET / HTTP/1.1\r\n\r\n", 403),
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413),
], ids=["garbage", "long header", "method", "path", "host", "no host", "length", "encoding", "chunks", "body"])
def test_whatever_is_sent_the_error_is_json(running: Running, sent: bytes, status: int) -> None:
    with connection(running.port) as sock:
        sock.sendall(sent)
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.status == status
        assert response.getheader("Content-Type") == "application/json"
        assert json.loads(response.read())["error"]


def test_a_body_that_is_too_large_is_cut_off_and_the_client_hears_why(served: Path) -> None:
    with in_thread(Api([served / "fixed.tflite"], limits=Limits(body=1 << 20))) as server:
        answer = requests.post(f"{server.url}classify", data=b"\0" * (8 << 20), timeout=30)
        assert answer.status_code == 413
        endless = requests.post(f"{server.url}classify", data=(b"\0" * (1 << 16) for _ in range(100)), timeout=30)
        assert endless.status_code == 413
        with connection(server.port) as sock:  # one that never stops, and never reads
            sock.sendall(POST % (1 << 40))
            assert send_until_cut_off(sock) < 10


@pytest.mark.parametrize(("head", "status"), [
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\n", 401),
    (b"POST /classify HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n", 401),
    (b"POST /classify HTTP/1.1\r\nHost: evil.example\r\n", 403),
    (b"POST /none HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" % TOKEN.encode(), 404),
    (b"PUT //classify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" % TOKEN.encode(), 405),
], ids=["token", "expect", "host", "path", "method"])
@pytest.mark.parametrize("length", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_who_may_not_ask_hears_so_before_the_body_comes(
    guarded: Server, head: bytes, length: bytes, status: int
) -> None:
    with connection(guarded.port) as sock:
        sock.sendall(head + length)
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert (response.status, response.getheader("Connection")) == (status, "close")
        assert json.loads(response.read())["error"]
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # is a part of the body
        assert rest(sock) == b""


def test_a_body_after_the_token_is_read(guarded: Server) -> None:
    for headers, status in (({"Authorization": f"Bearer {TOKEN}"}, 200), ({}, 401)):
        for path in ("classify", "/classify"):
            answer = requests.post(f"{guarded.url}{path}", data=RED + b"\0" * (4 << 20), headers=headers, timeout=30)
            assert answer.status_code == status


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nX", POST % 1000 + b"\0" * 10])
def test_a_silent_client_is_cut_off(served: Path, begin: bytes) -> None:
    with in_thread(Api([served / "fixed.tflite"]), IMPATIENT) as server, connection(server.port) as sock:
        sock.sendall(begin)
        started = time.monotonic()
        assert rest(sock) == b""
        assert 0.5 < time.monotonic() - started < 5


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nX: ", POST % 100_000])
def test_a_trickling_client_is_cut_off_while_others_are_served(served: Path, begin: bytes) -> None:
    with in_thread(Api([served / "fixed.tflite"]), IMPATIENT) as server:
        trickling = [connection(server.port) for _ in range(20)]
        for sock in trickling:
            sock.sendall(begin)
        started = time.monotonic()
        cut = 0
        while cut < len(trickling) and time.monotonic() < started + 10:
            for sock in trickling:
                try:
                    sock.send(b"x")
                except OSError:
                    cut += 1
            assert requests.post(f"{server.url}classify", data=RED, timeout=30).status_code == 200
            time.sleep(0.1)
        assert cut >= len(trickling)
        assert time.monotonic() < started + 5
        for sock in trickling:
            sock.close()


def test_a_slow_but_steady_upload_is_served(served: Path) -> None:
    patience = dataclasses.replace(IMPATIENT, idle=10.0)
    with in_thread(Api([served / "fixed.tflite"]), patience) as server, connection(server.port) as sock:
        body = RED + b"\0" * 4000
        sock.sendall(POST % len(body))
        for start in range(0, len(body), 400):  # for longer than `request` allows, but faster than `rate`
            sock.sendall(body[start : start + 400])
            time.sleep(0.1)
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert response.status == 200


def test_ending_answers_what_was_sent(served: Path, slow_engine: Callable[[float], None]) -> None:
    with in_thread(Api([served / "fixed.tflite"], workers=1)) as server:
        slow_engine(0.3)  # so that the first answer is not made before the end begins
        socks = [connection(server.port) for _ in range(10)]
        for sock in socks:
            sock.sendall(POST % len(RED) + RED)
        half, idle = connection(server.port), connection(server.port)
        half.sendall(POST % len(RED) + RED[:20])
        time.sleep(0.1)
        server.stop()
        assert not_listening(server.port)
        half.sendall(RED[20:])
        for sock in [*socks, half]:
            answer = rest(sock)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            assert b"\r\nConnection: close\r\n" in answer
        assert rest(idle) == b""
        for sock in [*socks, half, idle]:
            sock.close()


def test_sigterm_under_load_loses_nothing(served: Path) -> None:
    answered: list[int] = []
    lost: list[str] = []

    def client(running: Running) -> None:
        conn = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        while True:
            try:
                if conn.sock is None:
                    conn.connect()
            except OSError:
                return  # it does not listen any more
            try:
                conn.request("POST", "/classify", RED)
                response = conn.getresponse()
                answered.append(response.status)
                response.read()
            except (OSError, http.client.HTTPException) as error:
                lost.append(repr(error))
                return

    with command(served / "fixed.tflite") as running:
        threads = [threading.Thread(target=client, args=(running,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        running.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert running.process.wait(30) == 0
    assert not lost
    assert set(answered) == {200}
    assert len(answered) > 20


def test_ending_waits_for_an_answer_as_long_as_a_request_does(
    served: Path, slow_engine: Callable[[float], None]
) -> None:
    patience = dataclasses.replace(IMPATIENT, drain=0.1)
    with in_thread(Api([served / "fixed.tflite"]), patience) as server, connection(server.port) as sock:
        slow_engine(1.0)
        sock.sendall(POST % len(RED) + RED)
        time.sleep(0.1)
        server.stop()
        assert rest(sock).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_does_not_wait(served: Path, second: signal.Signals) -> None:
    with command(served / "fixed.tflite") as running, connection(running.port) as sock:
        sock.sendall(POST % 100)
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None  # it waits for the rest
        running.process.send_signal(second)
        assert running.process.wait(10) == 130


def test_an_address_that_cannot_be_had(served: Path) -> None:
    with in_thread(Api([served / "fixed.tflite"])) as server:
        with pytest.raises(EdgekitError, match=f"{server.port}: Address already in use"):
            Server(Api([served / "fixed.tflite"]), port=server.port)
        with pytest.raises(EdgekitError, match="Cannot serve"):
            Server(Api([served / "fixed.tflite"]), host="no such host")


def refused(*arguments: str | Path, **env: str) -> str:
    """What `edgekit serve` says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "edgekit.cli.main", "serve", *map(str, arguments), "--port", "0"],
        capture_output=True, text=True, timeout=60, env={**os.environ, **env},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_does_not_start(served: Path, tmp_path: Path) -> None:
    model = served / "fixed.tflite"
    assert "--no-token" in refused(model, "--host", "0.0.0.0")
    assert "at least 16" in refused(model, EDGEKIT_TOKEN="short")
    assert "cannot be read" in refused(model, "--token-file", tmp_path / "none")
    assert "exclude" in refused(model, "--token-file", tmp_path / "none", "--no-token")
    assert "does not exist" in refused(tmp_path / "none.tflite")
    assert "called fixed" in refused(model, model)


def test_tokens_and_hosts_of_the_command(served: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    right = {"Authorization": f"Bearer {TOKEN}"}
    options = ("--host", "0.0.0.0", "--allow-host", "photos.example")
    for arguments, env in ((("--token-file", tmp_path / "token"), {}), ((), {"EDGEKIT_TOKEN": TOKEN})):
        with command(served / "fixed.tflite", *options, *arguments, env=env) as running:
            url = f"http://127.0.0.1:{running.port}/"
            assert requests.post(f"{url}classify", data=RED, timeout=30).status_code == 401
            assert requests.post(f"{url}classify", data=RED, headers=right, timeout=30).status_code == 200
            for host, status in (("photos.example", 200), (socket.gethostname(), 200), ("evil.example", 403)):
                answer = requests.get(f"{url}models", headers={**right, "Host": host}, timeout=30)
                assert answer.status_code == status
