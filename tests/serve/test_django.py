"""In a Django project of the user's own, run by Django's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.serve.conftest import TOKEN, png

if TYPE_CHECKING:
    from tests.conftest import Needs

RED = png(200, 0, 0)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(needs: Needs, served: Path) -> Iterator[str]:
    needs.module("django")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serve.django_project", f"127.0.0.1:{port}"], cwd=ROOT,
        env={**os.environ, "MODEL": str(served / "open.tflite")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    found = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                requests.get(found, timeout=30)
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_it_answers_under_its_prefix(url: str) -> None:
    raw = requests.post(f"{url}/vision/classify?top=1", data=RED, timeout=30)
    assert raw.json()["predictions"][0]["label"] == "red"
    form = requests.post(f"{url}/vision/classify", files={"image": ("a.png", RED)}, timeout=30)
    assert form.json()["predictions"][0]["label"] == "red"
    page = requests.get(f"{url}/vision/", timeout=30)
    assert "<title>edgekit" in page.text
    assert "sha256-" in page.headers["Content-Security-Policy"]
    assert requests.get(f"{url}/", timeout=30).text == "mine"
    assert requests.get(f"{url}/vision/openapi.json", timeout=30).json()["servers"] == [{"url": "/vision"}]
    assert requests.get(f"{url}/vision/v2/models/open/ready", timeout=30).json()["ready"] is True


def test_large_bodies_are_the_apis_business(url: str) -> None:
    """Django itself would refuse what is larger than 2.5 MB."""
    large = RED + b"\0" * (4 << 20)
    assert requests.post(f"{url}/vision/classify", data=large, timeout=30).status_code == 200
    with requests.post(f"{url}/vision/classify", data=RED + b"\0" * (32 << 20), timeout=30) as answer:
        assert answer.status_code == 413


def test_errors_are_json(url: str) -> None:
    for path, status in (("none", 404), ("classify", 405), ("v2/models/x", 404)):
        answer = requests.get(f"{url}/vision/{path}", timeout=30)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


def test_tokens_hosts_and_origins(url: str) -> None:
    assert requests.get(f"{url}/private/models", timeout=30).status_code == 401
    allowed = requests.get(f"{url}/private/models", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert allowed.status_code == 200
    for headers, status in (
        ({"Host": "photos.example"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Origin": url}, 200),
        ({"Origin": "https://evil.example"}, 403),
    ):
        answer = requests.post(f"{url}/vision/classify", data=RED, headers=headers, timeout=30)
        assert answer.status_code == status, headers
