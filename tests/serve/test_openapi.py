"""The OpenAPI document: of its own schema, true of what the server answers, and no way to make it fail."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from edgekit.serve.api import ROUTES, Api
from tests.serve.asking import ask, told
from tests.serve.conftest import TOKEN, command, png

if TYPE_CHECKING:
    from tests.conftest import Needs

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
B64 = base64.b64encode(png(200, 0, 0)).decode()


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    return told(ask(api, "GET", "/openapi.json"))


def test_every_route_is_described_and_nothing_else(document: Any) -> None:
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert described == {(route.path, route.method) for route in ROUTES}


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "/classify", png(200, 0, 0)),
    ("GET", "/models", b""),
    ("GET", "/v1/models/{name}", b""),
    ("POST", "/v1/models/{name}:predict", {"instances": [{"b64": B64}]}),
    ("GET", "/v2", b""),
    ("GET", "/v2/health/live", b""),
    ("GET", "/v2/health/ready", b""),
    ("GET", "/v2/models/{name}", b""),
    ("GET", "/v2/models/{name}/ready", b""),
    ("POST", "/v2/models/{name}/infer",
     {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [B64]}]}),
])
def test_answers_are_as_described(api: Api, document: Any, method: str, path: str, body: Any) -> None:
    operation = document["paths"][path][method.lower()]
    answer = told(ask(api, method, path.replace("{name}", "open"), body))
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer)
    if isinstance(body, dict):
        sent = operation["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**sent, "components": document["components"]}).validate(body)


def test_it_says_where_it_is_and_whether_a_token_is_needed(served: Path, document: Any) -> None:
    assert "security" not in document
    guarded = Api([served / "fixed.tflite"], token=TOKEN)
    found = told(ask(guarded, "GET", "/openapi.json", authorization=f"Bearer {TOKEN}"))
    assert found["security"] == [{"token": []}]
    assert found["paths"]["/v2/health/live"]["get"]["security"] == []
    guarded.close()


@pytest.mark.slow
def test_schemathesis_finds_no_request_that_breaks_it(needs: Needs, files: list[Path], tmp_path: Path) -> None:
    needs.module("schemathesis")
    with command(*files) as running:
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}openapi.json", "--checks", CHECKS,
             "--max-examples", "50", "--seed", "1", "--no-color"],
            capture_output=True, text=True, timeout=600, cwd=tmp_path,  # it leaves a folder of its own
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert re.search(r"[0-9]{3,} generated", done.stdout)
