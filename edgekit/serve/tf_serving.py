"""TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest

An instance is an image file in base64, `{"b64": "…"}`, alone or under the input's name. A prediction is the list of the
scores by label, as of a model whose only output they are.
"""

from __future__ import annotations

from typing import Any

from edgekit.serve import bodies, inference
from edgekit.serve.engine import Engine
from edgekit.serve.messages import Refused, Response, json_response
from edgekit.serve.models import VERSION, ServedModel

SIGNATURES = ("serving_default", "")
FIELDS = {"signature_name", "instances", "inputs"}


def status(engine: Engine, model: ServedModel) -> Response:
    """GET /v1/models/NAME."""
    state = "AVAILABLE" if engine.ready else "LOADING"
    version = {"version": VERSION, "state": state, "status": {"error_code": "OK", "error_message": ""}}
    return json_response({"model_version_status": [version]})


def metadata(model: ServedModel) -> Response:
    """GET /v1/models/NAME/metadata; `labels` is an addition."""
    signature = {
        "inputs": {model.input_name: _tensor(f"{model.input_name}:0", "DT_STRING", (-1,))},
        "outputs": {"scores": _tensor("scores:0", "DT_FLOAT", (-1, len(model.spec.labels)))},
        "method_name": "tensorflow/serving/predict",
    }
    return json_response({
        "model_spec": {"name": model.name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
        "labels": model.spec.labels,
    })


def predict(engine: Engine, model: ServedModel, body: bytes) -> Response:
    """POST /v1/models/NAME:predict, with `instances` (a row for each) or `inputs` (a column).

    Raises:
        Refused: the request is not as the protocol says, or as `edgekit.serve.inference.run` says.
    """
    with bodies.parsing:
        images, form = _images(bodies.json_object(body), model)
    scores = [outcome.scores.tolist() for outcome in inference.run(engine, model, images)]
    return json_response({form: scores})


def _images(request: dict[str, Any], model: ServedModel) -> tuple[list[bytes], str]:
    """The images of a request, and the name that the answer has."""
    if unknown := set(request) - FIELDS:
        raise Refused(400, f"The request has the unknown field {sorted(unknown)[0][:40]!r}.")
    if request.get("signature_name", "") not in SIGNATURES:
        raise Refused(400, "The model has only the signature serving_default.")
    if ("instances" in request) == ("inputs" in request):
        raise Refused(400, 'The request needs either "instances" or "inputs".')
    instances, form = (
        (request["instances"], "predictions") if "instances" in request else (request["inputs"], "outputs")
    )
    if form == "outputs" and isinstance(instances, dict) and set(instances) == {model.input_name}:
        instances = instances[model.input_name]
    if not isinstance(instances, list):
        raise Refused(400, 'The request\'s images must be a list of {"b64": "…"}.')
    return [_image(instance, number, model) for number, instance in enumerate(instances)], form


def _image(instance: object, number: int, model: ServedModel) -> bytes:
    if isinstance(instance, dict) and set(instance) == {model.input_name}:
        instance = instance[model.input_name]
    if not isinstance(instance, dict) or set(instance) != {"b64"}:
        raise Refused(400, f'Instance {number} is not {{"b64": "…"}}.')
    return bodies.image_from_base64(instance["b64"], f"Instance {number}")


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": sides, "unknown_rank": False}, "name": name}
