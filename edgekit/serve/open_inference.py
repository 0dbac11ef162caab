"""The Open Inference Protocol, version 2, over REST, and its binary tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

The input is a tensor of image files, BYTES [N] (in JSON: base64), or the model's own input, of its shape and type,
already preprocessed. The outputs are `scores`, FP32 [N, labels], and `label`, BYTES [N]: the best.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.core.errors import ModelFileError
from edgekit.serve import bodies, inference
from edgekit.serve.engine import Engine, Outcome
from edgekit.serve.limits import Limits
from edgekit.serve.messages import Refused, Response, json_response
from edgekit.serve.models import VERSION, ServedModel

HEADER_LENGTH = "inference-header-content-length"
DATATYPES = {"uint8": "UINT8", "int8": "INT8", "int16": "INT16", "float32": "FP32"}
SCORES, LABEL = "scores", "label"


def server_metadata() -> Response:
    """GET /v2."""
    return json_response({"name": "edgekit", "version": __version__, "extensions": ["binary_tensor_data"]})


def metadata(model: ServedModel) -> Response:
    """GET /v2/models/NAME. `parameters` tells the labels, and the tensor that is taken instead of image files."""
    datatype = DATATYPES[model.spec.input.dtype]
    tensor = {"name": model.input_name, "datatype": datatype, "shape": [-1, *model.input_shape]}
    return json_response({
        "name": model.name,
        "versions": [VERSION],
        "platform": model.platform,
        "inputs": [{"name": model.input_name, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": SCORES, "datatype": "FP32", "shape": [-1, len(model.spec.labels)]},
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"labels": model.spec.labels, "tensor_input": tensor},
    })


def infer(engine: Engine, model: ServedModel, body: bytes, headers: Mapping[str, str]) -> Response:
    """POST /v2/models/NAME/infer.

    Raises:
        Refused: the request is not as the protocol says, or as `edgekit.serve.inference.run` says.
    """
    size = _header_length(headers, len(body))
    with bodies.parsing:
        request = bodies.json_object(body[:size])
        inputs = _inputs(_only_input(request), memoryview(body)[size:], model, engine.limits)
        wanted = _wanted(request)
        identity = request.get("id")
        if identity is not None and not isinstance(identity, str):
            raise Refused(400, "The request's id is not a string.")
        del request
    outcomes = inference.run(engine, model, inputs)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": VERSION}
    if identity is not None:
        answer["id"] = identity
    return _response(answer, [_output(name, binary, outcomes, model) for name, binary in wanted.items()])


def _header_length(headers: Mapping[str, str], length: int) -> int:
    """How many bytes of the body are JSON."""
    said = headers.get(HEADER_LENGTH)
    if said is None:
        return length
    if not (said.isascii() and said.isdigit() and len(said) < 12 and int(said) <= length):
        raise Refused(400, "Inference-Header-Content-Length is not a length within the body.")
    return int(said)


def _only_input(request: dict[str, Any]) -> dict[str, Any]:
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, 'The request needs "inputs" with the one input of the model.')
    return inputs[0]


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    found = holder.get("parameters", {})
    if not isinstance(found, dict):
        raise Refused(400, "The parameters are not an object.")
    return found


def _inputs(tensor: dict[str, Any], binary: memoryview, model: ServedModel, limits: Limits) -> list[Any]:
    """The images of an input tensor: files' contents, or arrays of the model's own input."""
    if tensor.get("name") != model.input_name:
        raise Refused(400, f"The model's input is called {model.input_name}.")
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if not isinstance(shape, list) or not all(type(side) is int and 0 < side < 1 << 31 for side in shape):
        raise Refused(400, "The input's shape is not a list of positive whole numbers.")
    if shape and shape[0] > limits.images:
        raise Refused(413, f"The request has {shape[0]} images; at most {limits.images} are taken at once.")
    own, sides = DATATYPES[model.spec.input.dtype], list(model.input_shape)
    are_files = datatype == "BYTES" and len(shape) > 0 and shape[1:] in ([], [1])
    if not are_files and not (datatype == own and shape[1:] == sides):
        raise Refused(400, f"The input must be BYTES [N] (image files) or {own} [N, {', '.join(map(str, sides))}].")
    size = _parameters(tensor).get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(binary) or "data" in tensor:
            raise Refused(400, "binary_data_size is not the size of what follows the JSON.")
    elif len(binary) or not isinstance(tensor.get("data"), list):
        raise Refused(400, "The input has no data.")
    if are_files:
        return _files(tensor.get("data"), binary, shape[0])
    return list(_array(tensor.get("data"), binary, tuple(shape), np.dtype(model.spec.input.dtype)))


def _files(data: list[Any] | None, binary: memoryview, count: int) -> list[bytes]:
    if data is None:
        files = list(_elements(binary))
    else:
        flat = (item for row in data for item in (row if isinstance(row, list) else [row]))
        files = [bodies.image_from_base64(item, f"Element {number}") for number, item in enumerate(flat)]
    if len(files) != count:
        raise Refused(400, f"The input has {len(files)} elements, but its shape says {count}.")
    return files


def _elements(binary: memoryview) -> Iterable[bytes]:
    """The elements of a BYTES tensor in binary form: each after its length, 4 bytes little-endian."""
    while len(binary):
        size = struct.unpack_from("<I", binary)[0] if len(binary) >= 4 else len(binary)
        if size > len(binary) - 4:
            raise Refused(400, "The binary data is cut off.")
        yield bytes(binary[4 : 4 + size])
        binary = binary[4 + size :]


def _array(data: list[Any] | None, binary: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if data is None:
        if len(binary) != math.prod(shape) * dtype.itemsize:
            raise Refused(400, "The binary data does not fit the input's shape.")
        array = np.frombuffer(binary, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    else:
        if _count(data) != math.prod(shape):
            raise Refused(400, "The input's data does not fit its shape and datatype.")
        try:
            numbers = np.array(data)
        except (ValueError, OverflowError):
            numbers = np.array(None)
        whole = dtype.kind in "iu"
        if numbers.dtype.kind not in ("iu" if whole else "iuf"):
            raise Refused(400, "The input's data does not fit its shape and datatype.")
        if whole and not (numbers.min() >= np.iinfo(dtype).min and numbers.max() <= np.iinfo(dtype).max):
            raise Refused(400, "A number of the input's data is out of the datatype's range.")
        with np.errstate(over="ignore"):
            array = numbers.astype(dtype).reshape(shape)
    if not np.isfinite(array).all():
        raise Refused(400, "The input's data is not finite.")
    return array


def _count(data: list[Any]) -> int | None:
    """How many numbers the nested lists hold; None where they hold anything else.

    numpy would make an array of strings as large as the longest of them times their number.
    """
    count, lists = 0, [data]
    while lists:
        items = lists.pop()
        kinds = set(map(type, items))
        if kinds == {list}:
            lists += items
        elif kinds <= {int, float}:
            count += len(items)
        else:
            return None
    return count


def _wanted(request: dict[str, Any]) -> dict[str, bool]:
    """The names of the outputs asked for, and whether each is to be binary."""
    everywhere = _parameters(request).get("binary_data_output", False)
    asked = request.get("outputs")
    if asked is None or asked == []:
        return {SCORES: everywhere is True, LABEL: everywhere is True}
    if not isinstance(asked, list) or not all(
        isinstance(output, dict) and output.get("name") in (SCORES, LABEL) for output in asked
    ):
        raise Refused(400, f"The model's outputs are {SCORES} and {LABEL}.")
    return {output["name"]: _parameters(output).get("binary_data", everywhere) is True for output in asked}


@dataclass(frozen=True)
class _Output:
    description: dict[str, Any]
    binary: bytes


def _output(name: str, binary: bool, outcomes: list[Outcome], model: ServedModel) -> _Output:
    scores = np.stack([outcome.scores for outcome in outcomes])
    if not np.isfinite(scores).all():
        raise ModelFileError("The model answers with NaN or infinity.")
    description: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(scores.shape)}
    labels = [model.spec.labels[index] for index in scores.argmax(1)]
    if name == LABEL:
        description.update(datatype="BYTES", shape=[len(labels)])
    if not binary:
        return _Output({**description, "data": labels if name == LABEL else scores.ravel().tolist()}, b"")
    content = b"".join(map(_element, labels)) if name == LABEL else scores.astype("<f4").tobytes()
    return _Output({**description, "parameters": {"binary_data_size": len(content)}}, content)


def _element(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<I", len(content)) + content


def _response(answer: dict[str, Any], outputs: list[_Output]) -> Response:
    answer["outputs"] = [output.description for output in outputs]
    plain = json_response(answer)
    binary = b"".join(output.binary for output in outputs)
    if not binary:
        return plain
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(plain.body))}
    return Response(200, plain.body + binary, headers)
