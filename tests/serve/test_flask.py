"""In a Flask application of the user's own, with other routes, behind a real WSGI server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

import edgekit.serve.flask
from tests.serve.conftest import TOKEN, png

if TYPE_CHECKING:
    import flask

RED = png(200, 0, 0)


@pytest.fixture(scope="module")
def app(served: Path) -> flask.Flask:
    import flask

    made = flask.Flask("users_own")
    made.add_url_rule("/", view_func=lambda: "mine", endpoint="home")
    made.register_blueprint(edgekit.serve.flask.blueprint(served / "open.tflite"), url_prefix="/vision")
    made.register_blueprint(
        edgekit.serve.flask.blueprint(f"colours={served / 'graph.onnx'}", token=TOKEN, name="second"),
        url_prefix="/private/colours",
    )
    return made


@pytest.fixture(scope="module")
def url(app: flask.Flask) -> Iterator[str]:
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_it_answers_under_its_prefix(url: str) -> None:
    raw = requests.post(f"{url}/vision/classify", data=RED, timeout=30).json()
    assert raw["predictions"][0]["label"] == "red"
    assert requests.get(f"{url}/", timeout=30).text == "mine"
    form = requests.post(f"{url}/vision/classify", files={"image": ("a.png", RED)}, timeout=30).json()
    assert form["predictions"] == raw["predictions"]
    assert "<title>edgekit" in requests.get(f"{url}/vision/", timeout=30).text
    assert requests.get(f"{url}/vision", timeout=30).url == f"{url}/vision/"


def test_two_of_them_do_not_mix(url: str) -> None:
    private = f"{url}/private/colours"
    assert requests.get(f"{private}/models", timeout=30).status_code == 401
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        assert [model["name"] for model in session.get(f"{private}/models", timeout=30).json()["models"]] == ["colours"]
        assert session.post(f"{private}/classify", data=RED, timeout=30).json()["model"] == "colours"
        assert session.get(f"{private}/openapi.json", timeout=30).json()["servers"] == [{"url": "/private/colours"}]


def test_its_errors_are_json_and_the_others_are_the_applications(url: str) -> None:
    paths = ("none", "classify", "v2/models/x")
    answers = [requests.get(f"{url}/vision/{path}", timeout=30) for path in paths]
    assert [answer.status_code for answer in answers] == [404, 405, 404]
    assert all(answer.json()["error"] for answer in answers)
    assert "html" in requests.get(f"{url}/none", timeout=30).headers["Content-Type"]


def test_pages_of_other_origins_are_refused(url: str) -> None:
    for origin, status in ((url, 200), ("https://evil.example", 403)):
        answer = requests.post(f"{url}/vision/classify", data=RED, headers={"Origin": origin}, timeout=30)
        assert answer.status_code == status


def test_a_head_request_has_no_body(url: str) -> None:
    answer = requests.head(f"{url}/vision/v2", timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")


def test_in_flasks_own_test_client(app: flask.Flask) -> None:
    client = app.test_client()
    assert client.post("/vision/classify", data=RED).get_json()["predictions"][0]["label"] == "red"
    assert client.post("/vision/classify", data=b"\0" * ((32 << 20) + 1)).status_code == 413
