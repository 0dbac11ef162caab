"""The Open Inference Protocol v2: the shapes of its specification, in JSON and binary."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.serve.api import Api
from tests import models
from tests.serve.asking import ask, told
from tests.serve.conftest import png

INFER = "/v2/models/open/infer"
COLOURS = [(200, 0, 0), (0, 200, 0), (7, 8, 9)]
EXPECTED = np.stack([models.expected(models.colour(*colour)) for colour in COLOURS])
PIXELS = np.stack([models.colour(*colour) for colour in COLOURS])


def image_tensor(**changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(png(*colour)).decode() for colour in COLOURS]
    return {"name": "image", "shape": [3], "datatype": "BYTES", "data": data, **changes}


def pixel_tensor(**changes: Any) -> dict[str, Any]:
    data = PIXELS.astype(float).ravel().tolist()
    return {"name": "image", "shape": [3, 8, 8, 3], "datatype": "FP32", "data": data, **changes}


def test_the_server_describes_itself(api: Api) -> None:
    found = told(ask(api, "GET", "/v2"))
    assert found == {"name": "edgekit", "version": edgekit.__version__, "extensions": ["binary_tensor_data"]}
    assert told(ask(api, "GET", "/v2/health/live")) == {"live": True}
    assert told(ask(api, "GET", "/v2/health/ready")) == {"ready": True}


@pytest.mark.parametrize("path", ["/v2/models/bytes", "/v2/models/bytes/versions/1"])
def test_a_model_describes_itself(api: Api, path: str) -> None:
    assert told(ask(api, "GET", path)) == {
        "name": "bytes",
        "versions": ["1"],
        "platform": "tensorflow_lite",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {
            "labels": ["red", "green", "blue"],
            "tensor_input": {"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 3]},
        },
    }
    assert told(ask(api, "GET", f"{path}/ready")) == {"name": "bytes", "ready": True}


@pytest.mark.parametrize("tensor", [
    image_tensor(), image_tensor(shape=[3, 1]), image_tensor(shape=[3, 1], data=[[d] for d in image_tensor()["data"]]),
    pixel_tensor(), pixel_tensor(data=PIXELS.tolist()),
], ids=["files", "files in a column", "files in rows", "flat tensor", "nested tensor"])
def test_infer(api: Api, tensor: dict[str, Any]) -> None:
    answer = told(ask(api, "POST", INFER, {"id": "seven", "inputs": [tensor]}))
    scores, label = answer.pop("outputs")
    assert answer == {"model_name": "open", "model_version": "1", "id": "seven"}
    np.testing.assert_allclose(scores.pop("data"), EXPECTED.ravel(), atol=1e-5)
    assert scores == {"name": "scores", "datatype": "FP32", "shape": [3, 3]}
    assert label == {"name": "label", "datatype": "BYTES", "shape": [3], "data": ["red", "green", "blue"]}


def test_a_model_of_bytes_takes_bytes(api: Api) -> None:
    tensor = pixel_tensor(datatype="UINT8", data=PIXELS.ravel().tolist())
    answer = told(ask(api, "POST", "/v2/models/bytes/infer", {"inputs": [tensor]}))
    assert answer["outputs"][1]["data"] == ["red", "green", "blue"]
    assert "id" not in answer
    for bad in ([256], [-1], [0.5], ["x"], [None], [2**70], [[1, 2], [3]], [True]):
        tensor["data"] = bad * (3 * 192)
        told(ask(api, "POST", "/v2/models/bytes/infer", {"inputs": [tensor]}), 400)


@pytest.mark.parametrize("data", [["x" * 300_000, *["y"] * 100_000], [[1.0, 2.0], 3.0] * 192, [True, 1.0] * 288])
def test_a_tensor_of_anything_but_numbers_costs_no_memory(api: Api, data: list[Any]) -> None:
    answer = told(ask(api, "POST", INFER, {"inputs": [pixel_tensor(data=data)]}), 400)
    assert answer["error"] == "The input's data does not fit its shape and datatype."


def test_only_the_outputs_that_are_asked_for(api: Api) -> None:
    answer = told(ask(api, "POST", INFER, {"inputs": [image_tensor()], "outputs": [{"name": "label"}]}))
    assert [output["name"] for output in answer["outputs"]] == ["label"]


def binary(header: dict[str, Any], content: bytes) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(header).encode()
    return text + content, {"inference_header_content_length": str(len(text))}


def test_binary_tensors_in_and_out(api: Api) -> None:
    elements = [png(*colour) for colour in COLOURS]
    files = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    pixels = PIXELS.astype("<f4").tobytes()
    for tensor, content in ((image_tensor(), files), (pixel_tensor(), pixels)):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(content)}
        body, headers = binary({"inputs": [tensor], "parameters": {"binary_data_output": True}}, content)
        response = ask(api, "POST", INFER, body, **headers)
        assert response.status == 200, response.body
        assert response.headers["Content-Type"] == "application/octet-stream"
        size = int(response.headers["Inference-Header-Content-Length"])
        scores, label = json.loads(response.body[:size])["outputs"]
        assert "data" not in scores
        end = size + scores["parameters"]["binary_data_size"]
        np.testing.assert_allclose(np.frombuffer(response.body[size:end], "<f4").reshape(3, 3), EXPECTED, atol=1e-5)
        assert label["parameters"]["binary_data_size"] == len(response.body) - end
        assert response.body[end:] == b"\3\0\0\0red\5\0\0\0green\4\0\0\0blue"


def test_one_output_binary_and_one_not(api: Api) -> None:
    outputs = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "label"}]
    response = ask(api, "POST", INFER, {"inputs": [image_tensor()], "outputs": outputs})
    size = int(response.headers["Inference-Header-Content-Length"])
    assert json.loads(response.body[:size])["outputs"][1]["data"] == ["red", "green", "blue"]
    assert len(response.body) - size == 36


@pytest.mark.parametrize(("said", "status"), [
    ({}, 400),
    ({"inputs": {}}, 400),
    ({"inputs": [image_tensor(), image_tensor()]}, 400),
    ({"inputs": [image_tensor(name="other")]}, 400),
    ({"inputs": [image_tensor(shape=[2])]}, 400),
    ({"inputs": [image_tensor(shape=[])]}, 400),
    ({"inputs": [image_tensor(shape=[3, 2])]}, 400),
    ({"inputs": [image_tensor(shape=[True])]}, 400),
    ({"inputs": [image_tensor(shape=["3"])]}, 400),
    ({"inputs": [image_tensor(shape=[-3])]}, 400),
    ({"inputs": [image_tensor(shape=[33])]}, 413),
    ({"inputs": [image_tensor(datatype="FP32")]}, 400),
    ({"inputs": [image_tensor(datatype=["BYTES"])]}, 400),
    ({"inputs": [image_tensor(data=["not an image"] * 3)]}, 400),
    ({"inputs": [image_tensor(data=["aGVsbG8="] * 3)]}, 415),
    ({"inputs": [image_tensor(data=None)]}, 400),
    ({"inputs": [image_tensor(parameters=7)]}, 400),
    ({"inputs": [pixel_tensor(shape=[3, 8, 8, 1])]}, 400),
    ({"inputs": [pixel_tensor(datatype="UINT8")]}, 400),
    ({"inputs": [pixel_tensor(data=[1.0])]}, 400),
    ({"inputs": [pixel_tensor(data=[1e300] * 576)]}, 400),
    ({"inputs": [image_tensor()], "outputs": [{"name": "other"}]}, 400),
    ({"inputs": [image_tensor()], "outputs": [7]}, 400),
    ({"inputs": [image_tensor()], "outputs": 7}, 400),
    ({"inputs": [image_tensor()], "id": 7}, 400),
    ({"inputs": [image_tensor()], "parameters": []}, 400),
])
def test_what_is_refused(api: Api, said: dict[str, Any], status: int) -> None:
    assert told(ask(api, "POST", INFER, said), status)["error"]


@pytest.mark.parametrize("content", [b"", b"\1", b"\xff\xff\xff\xffabc", b"\1\0\0\0x", b"\0\0\0\0" * 4])
def test_broken_binary_files(api: Api, content: bytes) -> None:
    tensor = image_tensor(parameters={"binary_data_size": len(content)})
    del tensor["data"]
    body, headers = binary({"inputs": [tensor]}, content)
    told(ask(api, "POST", INFER, body, **headers), 400)


@pytest.mark.parametrize("length", ["-1", "x", "999999", "1", "9" * 30, ""])
def test_a_wrong_header_length(api: Api, length: str) -> None:
    told(ask(api, "POST", INFER, {"inputs": [image_tensor()]}, inference_header_content_length=length), 400)


def test_a_wrong_binary_size(api: Api) -> None:
    tensor = pixel_tensor(parameters={"binary_data_size": 8})
    del tensor["data"]
    for content in (b"\0" * 8, b"\0" * 7, b""):
        body, headers = binary({"inputs": [tensor]}, content)
        told(ask(api, "POST", INFER, body, **headers), 400)
    tensor["parameters"]["binary_data_size"] = True
    body, headers = binary({"inputs": [tensor]}, b"\0")
    told(ask(api, "POST", INFER, body, **headers), 400)
