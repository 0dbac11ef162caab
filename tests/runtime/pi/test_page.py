from __future__ import annotations

import dataclasses
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from edgekit.runtime.errors import SourceError
from edgekit.runtime.pi import page as module
from edgekit.runtime.pi.loop import Result
from edgekit.runtime.pi.page import Page
from tests import models
from tests.runtime.pi.test_loop import RESULT

SECRET = "0123456789abcdef+secret/="
BLUE = models.colour(0, 0, 250, 64)


def result(number: int = 0) -> Result:
    return dataclasses.replace(RESULT, frame=dataclasses.replace(RESULT.frame, number=number, pixels=BLUE))


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page("0")
    yield made
    made.close()


def get(page: Page, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(page.url).port or 0, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


def test_the_page(page: Page) -> None:
    response, content = get(page, "/")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"stream.mjpg" in content
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_answer(page: Page) -> None:
    assert json.loads(get(page, "/answer.json")[1]) is None
    page.show(result(5))
    assert json.loads(get(page, "/answer.json")[1])["frame"] == 5


def test_the_stream(page: Page) -> None:
    page.show(result())
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(page.url).port or 0, timeout=10)
    connection.request("GET", "/stream.mjpg")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=edgekit-frame"
    for number in (1, 2):
        assert response.readline() == b"--edgekit-frame\r\n"
        assert response.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(response.readline().split(b": ")[1])
        response.readline()
        seen = np.asarray(Image.open(io.BytesIO(response.read(length))))
        np.testing.assert_allclose(seen, BLUE, atol=12)
        response.readline()
        page.show(result(number))
    connection.close()


def test_a_frame_is_encoded_once(page: Page) -> None:
    first = page.jpeg(result(1))
    assert page.jpeg(result(1)) is first
    assert page.jpeg(result(2)) is not first


def test_streams_end_with_the_page() -> None:
    page = Page("0")
    page.show(result())
    ended = threading.Event()

    def watch() -> None:
        for _ in page.results():
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    time.sleep(0.05)
    page.close()
    assert ended.wait(5)


def test_other_paths(page: Page) -> None:
    assert get(page, "/../../etc/passwd")[0].status == 404


@pytest.mark.parametrize(("host", "status"), [
    ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("evil.example", 403), ("", 403),
    ("127.0.0.1.evil.example", 403),
])
def test_names_of_others_are_refused(page: Page, host: str, status: int) -> None:
    assert get(page, "/answer.json", Host=host)[0].status == status


def test_another_host_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.TOKEN, raising=False)
    with pytest.raises(SourceError, match="would show the camera to everybody"):
        Page("0.0.0.0:0")
    with pytest.raises(SourceError, match="too short"):
        Page("0.0.0.0:0", token="short")
    monkeypatch.setenv(module.TOKEN, SECRET)
    page = Page("0.0.0.0:0")
    try:
        for path, headers, status in (
            ("/answer.json", {}, 401),
            ("/answer.json?token=wrong", {}, 401),
            ("/answer.json?token=%E9", {}, 401),
            (f"/answer.json?token={SECRET}", {}, 200),
            ("/answer.json", {"Authorization": f"Bearer {SECRET}"}, 200),
            (f"/?token={SECRET}", {"Host": "raspberrypi.local"}, 200),
            ("/stream.mjpg", {}, 401),
        ):
            assert get(page, path, **headers)[0].status == status, path
    finally:
        page.close()


@pytest.mark.parametrize("address", ["", "x", "host:", "70000", "a b:80", "host:80:90"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(SourceError, match="--http takes a port"):
        Page(address)


def test_a_port_that_is_taken(page: Page) -> None:
    with pytest.raises(SourceError, match="cannot be listened on: Address already in use"):
        Page(str(urlsplit(page.url).port))


def test_only_so_many_watch_at_once(page: Page) -> None:
    port = urlsplit(page.url).port
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(module.MAX_CONNECTIONS)]
    time.sleep(0.2)
    with pytest.raises((http.client.HTTPException, OSError)):
        get(page, "/answer.json")
    for each in waiting:
        each.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert get(page, "/answer.json")[0].status == 200
            return
        except (http.client.HTTPException, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_trickling_client_is_cut_off(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.5)
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0)) as client:
        client.settimeout(0.05)
        client.sendall(b"GET / HTTP/1.1\r\n")
        while True:
            assert time.monotonic() < begin + 5
            try:
                client.sendall(b"X: 1\r\n")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
