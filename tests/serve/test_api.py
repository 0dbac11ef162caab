"""Routes, limits, errors and ids, without a network."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import EdgekitError, MissingExtraError
from edgekit.serve.api import ROUTES, Api
from edgekit.serve.limits import Limits
from tests import models
from tests.serve.asking import ask, told
from tests.serve.conftest import TOKEN, encoded, png

RED = png(200, 10, 10)


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--xYz\r\nContent-Disposition: {disposition}\r\nContent-Type: image/png\r\n\r\n".encode() + content
        body += b"\r\n"
    return body + b"--xYz--\r\n", "multipart/form-data; boundary=xYz"


def test_classify_answers_with_ranked_labels(api: Api) -> None:
    answer = told(ask(api, "POST", "/classify?top=2", RED))
    assert [item["label"] for item in answer["predictions"]] == ["red", "green"]
    wanted = models.expected(models.colour(200, 10, 10))
    assert [item["score"] for item in answer["predictions"]] == pytest.approx(sorted(wanted)[::-1][:2], abs=1e-5)
    assert answer["model"] == "open"
    assert answer["sure"] is True
    assert set(answer["milliseconds"]) == {"queue", "prepare", "inference"}
    assert len(told(ask(api, "POST", "/classify", RED))["predictions"]) == 3


def test_below_the_threshold_it_is_not_sure(api: Api) -> None:
    assert told(ask(api, "POST", "/classify", png(10, 10, 10)))["sure"] is False
    assert told(ask(api, "POST", "/classify?model=fixed", png(10, 10, 10)))["sure"] is True


@pytest.mark.parametrize("name", ["open", "fixed", "bytes", "graph"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "WebP", "GIF"])
def test_every_model_takes_every_format(api: Api, name: str, kind: str) -> None:
    body = encoded(models.colour(0, 0, 220, 16), kind)
    answer = told(ask(api, "POST", f"/classify?model={name}", body, content_type="text/plain"))
    assert (answer["model"], answer["predictions"][0]["label"]) == (name, "blue")


def test_a_form_with_a_file(api: Api) -> None:
    body, content_type = form(("note", None, b"hello"), ("image", "a.png", RED))
    assert told(ask(api, "POST", "/classify", body, content_type=content_type))["predictions"][0]["label"] == "red"


@pytest.mark.parametrize("parts", [(), (("image", None, RED),), (("a", "a.png", RED), ("b", "b.png", RED))])
def test_a_form_needs_exactly_one_file(api: Api, parts: tuple[tuple[str, str | None, bytes], ...]) -> None:
    body, content_type = form(*parts) if parts else (b"--xYz\r\n--xYz--", "multipart/form-data; boundary=xYz")
    told(ask(api, "POST", "/classify", body, content_type=content_type), 400)


@pytest.mark.parametrize("query", ["top=0", "top=-1", "top=x", "top=1001", "top=٣", "tops=3", "top=", "top=1e3",
                                   "&".join(["top=1"] * 21)])
def test_a_bad_query_is_refused(api: Api, query: str) -> None:
    told(ask(api, "POST", f"/classify?{query}", RED), 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"hello", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"%PDF-1.7", 415),
        (RED[:40], 400),
        (encoded(np.zeros((64, 64, 3), np.uint8), "JPEG")[:200], 400),
        (b"\xff\xd8\xff" + b"\0" * 100, 400),
        (encoded(np.zeros((1200, 1200, 3), np.uint8)), 413),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (1 << 20), 413),
    ],
    ids=["empty", "text", "svg", "pdf", "half a png", "half a jpeg", "no jpeg", "pixels", "bytes"],
)
def test_what_is_no_image_or_too_large_is_refused(api: Api, body: bytes, status: int) -> None:
    error = told(ask(api, "POST", "/classify", body), status)
    assert error["error"]
    assert re.fullmatch("[0-9a-f]{32}", error["request_id"])


def test_a_decompression_bomb_is_refused_by_its_header(api: Api) -> None:
    size = (60_000).to_bytes(4, "big")
    header = b"IHDR" + size + size + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big")
    assert "60000×60000" in told(ask(api, "POST", "/classify", bomb + b"\0\0\0\x09IDAT" + b"\0" * 99), 413)["error"]


def test_a_declared_length_is_enough_to_be_refused(api: Api) -> None:
    told(ask(api, "POST", "/classify", b"", content_length="99999999999999999999999"), 413)
    told(ask(api, "POST", "/classify", RED, content_encoding="gzip"), 415)


@pytest.mark.parametrize("path", [
    "/no", "/classify/", "/v2/models/none/infer", "/v1/models/none", "/v1/models/none:predict",
    "/v2/models/open/versions/2/infer", "/classify?model=none", "//", "/../etc/passwd",
])
def test_what_is_not_there(api: Api, path: str) -> None:
    method = "POST" if "infer" in path or "predict" in path or "?" in path else "GET"
    told(ask(api, method, path, b"{}"), 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "/classify"), ("POST", "/v2"), ("DELETE", "/models"),
                                              ("OPTIONS", "/"), ("HEAD", "/classify")])
def test_the_wrong_method(api: Api, method: str, path: str) -> None:
    response = ask(api, method, path)
    told(response, 405)
    assert method not in response.headers["Allow"].split(", ")


def test_request_ids_are_kept_or_made(api: Api) -> None:
    assert ask(api, "GET", "/v2", x_request_id="abc-1.2_Z").headers["X-Request-ID"] == "abc-1.2_Z"
    for bad in ("", "a" * 65, "a b", "a\r\nb: c", "<b>", "é"):
        made = ask(api, "GET", "/v2", x_request_id=bad).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_what_fails_inside_is_logged_and_not_shown(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api.engine, "submit", lambda *arguments: 1 / 0)
    with caplog.at_level(logging.ERROR):
        error = told(ask(api, "POST", "/classify", RED, x_request_id="find-me"), 500)
    assert "ZeroDivision" not in json.dumps(error)
    assert "find-me" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_full_queue_says_when_to_come_back(served: Path, slow_engine: Callable[[float], None]) -> None:
    small = Api([served / "fixed.tflite"], workers=1, limits=Limits(waiting=1))
    small.engine.wait_until_ready()
    slow_engine(0.3)
    [future] = small.engine.submit("fixed", [RED])
    response = ask(small, "POST", "/classify", RED)
    told(response, 429)
    assert int(response.headers["Retry-After"]) >= 1
    future.result(30)
    told(ask(small, "POST", "/classify", RED))
    small.close()
    told(ask(small, "POST", "/classify", RED), 503)


def test_large_requests_share_the_memory(served: Path, slow_engine: Callable[[float], None]) -> None:
    large = RED + b"\0" * 600_000
    small = Api([served / "fixed.tflite"], workers=1, limits=Limits(held=1 << 20))
    small.engine.wait_until_ready()
    slow_engine(0.4)
    first = threading.Thread(target=ask, args=(small, "POST", "/classify", large))
    first.start()
    time.sleep(0.2)
    assert ask(small, "POST", "/classify", large).headers["Retry-After"] == "1"
    told(ask(small, "POST", "/classify", RED))
    first.join()
    told(ask(small, "POST", "/classify", large))
    small.close()


def test_an_answer_that_takes_too_long(served: Path, slow_engine: Callable[[float], None]) -> None:
    impatient = Api([served / "fixed.tflite"], workers=1, limits=Limits(seconds=0.1))
    impatient.engine.wait_until_ready()
    slow_engine(0.5)
    told(ask(impatient, "POST", "/classify", RED), 503)
    impatient.close()


def test_readiness(served: Path) -> None:
    fresh = Api([served / "fixed.tflite"])
    assert told(ask(fresh, "GET", "/v2/health/live")) == {"live": True}
    ask(fresh, "GET", "/v2/health/ready")  # makes it load its models
    fresh.engine.wait_until_ready()
    assert told(ask(fresh, "GET", "/v2/health/ready")) == {"ready": True}
    fresh.draining = True
    assert told(ask(fresh, "GET", "/v2/health/ready"), 503) == {"ready": False}
    assert told(ask(fresh, "GET", "/v2/models/fixed/ready"), 503) == {"name": "fixed", "ready": False}
    fresh.close()


def test_only_the_page_and_health_are_public(served: Path) -> None:
    guarded = Api([served / "fixed.tflite"], token=TOKEN)
    for route in ROUTES:
        path = route.path.replace("{name}", "fixed")
        public = route.path in ("/", "/v2/health/live", "/v2/health/ready")
        assert route.public is public
        without = ask(guarded, route.method, path, b"{}")
        assert (without.status == 401) is not public, path
        if not public:
            assert without.headers["WWW-Authenticate"].startswith("Bearer")
        assert ask(guarded, route.method, path, b"{}", authorization=f"Bearer {TOKEN}").status != 401
    assert ask(guarded, "GET", "/nothing").status == 401
    guarded.close()


def test_the_models_are_described(api: Api) -> None:
    found = told(ask(api, "GET", "/models"))
    assert [model["name"] for model in found["models"]] == ["open", "fixed", "bytes", "graph"]
    assert found["models"][0]["labels"] == list(models.LABELS)
    assert found["models"][0]["threshold"] == 0.6
    assert found["models"][0]["verdict"] == "none"
    assert found["limits"]["body_bytes"] == 1 << 20


def test_metrics_count_what_happened(served: Path) -> None:
    counted = Api([served / "open.tflite"])
    for _ in range(3):
        told(ask(counted, "POST", "/classify", RED))
    told(ask(counted, "POST", "/classify", b"no"), 415)
    for path in ("/a", "/b/c", "/d?e"):
        ask(counted, "GET", path)
    response = ask(counted, "GET", "/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = response.body.decode()
    for line in (
        'edgekit_requests_total{method="POST",route="/classify",status="200"} 3.0',
        'edgekit_requests_total{method="POST",route="/classify",status="415"} 1.0',
        'edgekit_requests_total{method="GET",route="other",status="404"} 3.0',
        'edgekit_images_total{model="open"} 3.0',
        'edgekit_stage_seconds_count{model="open",stage="inference"} 3.0',
        "edgekit_unfinished_images 0.0",
    ):
        assert line in text, line
    counted.close()


def test_responses_are_not_sniffed_or_stored(api: Api) -> None:
    for response in (ask(api, "GET", "/"), ask(api, "GET", "/v2"), ask(api, "GET", "/no")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


def test_the_page_names_its_own_parts_and_nothing_else(api: Api) -> None:
    response = ask(api, "GET", "/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2
    assert "://" not in re.sub(r"<svg.*?</svg>", "", response.body.decode())


def test_without_the_extra_it_says_what_to_install(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match="serve"):
        Api([served / "fixed.tflite"])


def test_a_short_token_is_refused(served: Path) -> None:
    for bad in ("short", "a token with spaces", "tökens-are-letters-and-digits"):
        with pytest.raises(EdgekitError, match="token"):
            Api([served / "fixed.tflite"], token=bad)
