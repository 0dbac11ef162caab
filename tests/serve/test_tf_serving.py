"""TensorFlow Serving's REST form: the shapes that its documentation shows."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from edgekit.serve.api import Api
from tests import models
from tests.serve.asking import ask, told
from tests.serve.conftest import png

PREDICT = "/v1/models/open:predict"


def instance(red: int, green: int, blue: int) -> dict[str, str]:
    return {"b64": base64.b64encode(png(red, green, blue)).decode()}


def test_status(api: Api) -> None:
    wanted = {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert told(ask(api, "GET", "/v1/models/open")) == wanted
    assert told(ask(api, "GET", "/v1/models/open/versions/1")) == wanted


def test_metadata(api: Api) -> None:
    found = told(ask(api, "GET", "/v1/models/open/metadata"))
    assert found["model_spec"] == {"name": "open", "signature_name": "", "version": "1"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"]["dtype"] == "DT_STRING"
    assert signature["outputs"]["scores"]["tensor_shape"]["dim"][1]["size"] == "3"
    assert signature["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/open/versions/1:predict", "/v1/models/graph:predict"])
def test_rows(api: Api, path: str) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (7, 8, 9)]
    request = {"signature_name": "serving_default", "instances": [instance(*colour) for colour in colours]}
    predictions = told(ask(api, "POST", path, request))["predictions"]
    for colour, scores in zip(colours, predictions, strict=True):
        assert scores == pytest.approx(list(models.expected(models.colour(*colour))), abs=1e-5)


def test_the_input_may_be_named(api: Api) -> None:
    red = instance(200, 0, 0)
    expected = told(ask(api, "POST", PREDICT, {"instances": [red]}))["predictions"]
    assert told(ask(api, "POST", PREDICT, {"instances": [{"image": red}]})) == {"predictions": expected}
    assert told(ask(api, "POST", PREDICT, {"inputs": [red]})) == {"outputs": expected}
    assert told(ask(api, "POST", PREDICT, {"inputs": {"image": [red]}})) == {"outputs": expected}


def test_base64_may_have_line_breaks(api: Api) -> None:
    broken = base64.encodebytes(png(200, 0, 0)).replace(b"\n", b"\r\n").decode()
    assert broken.count("\r\n") > 1
    found = told(ask(api, "POST", PREDICT, {"instances": [{"b64": broken}]}))
    assert found == told(ask(api, "POST", PREDICT, {"instances": [instance(200, 0, 0)]}))


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"instances": [NaN]}', 400),
        (b'{"instances": [' + b"9" * 10_000 + b"]}", 400),
        (b"\xff\xfe", 400),
        (b"[" + b"[]," * 349_000 + b"[]]", 400),
        ({}, 400),
        ({"instances": []}, 400),
        ({"instances": {"b64": ""}}, 400),
        ({"instances": "x"}, 400),
        ({"instances": [{"b64": 7}]}, 400),
        ({"instances": [{"b64": "%%%"}]}, 400),
        ({"instances": [{"b64": "iVBORw0KGgo\u00e9"}]}, 400),
        ({"instances": [{"b64": "aGVsbG8="}]}, 415),
        ({"instances": [{"b64": ""}]}, 415),
        ({"instances": [[1, 2, 3]]}, 400),
        ({"instances": [instance(1, 1, 1)], "inputs": []}, 400),
        ({"instances": [instance(1, 1, 1)], "what": 1}, 400),
        ({"instances": [instance(1, 1, 1)], "signature_name": "other"}, 400),
        ({"instances": [instance(1, 1, 1)] * 33}, 413),
    ],
)
def test_what_is_refused(api: Api, request_body: Any, status: int) -> None:
    assert told(ask(api, "POST", PREDICT, request_body), status)["error"]


def test_all_images_together_have_a_limit(api: Api) -> None:
    large = {"b64": base64.b64encode(png(1, 2, 3, 1000)).decode()}
    told(ask(api, "POST", PREDICT, {"instances": [large] * 2}))
    assert "together" in told(ask(api, "POST", PREDICT, {"instances": [large] * 3}), 413)["error"]
