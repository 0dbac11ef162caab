"""The OpenAPI 3.1 document of the API: https://spec.openapis.org/oas/v3.1.1.html"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit import __version__
from edgekit.runtime.images import FORMATS
from edgekit.serve.limits import Limits
from edgekit.serve.models import ServedModel

Json = dict[str, Any]

# A PNG file of one gray pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
ERRORS = {
    "400": "The request is not as it should be, or an image is damaged.",
    "401": "No valid token.",
    "403": "Sent by a page of another origin, or to another host.",
    "404": "No such model.",
    "413": "Too large: the body, an image, or all images together.",
    "415": "Not an image, or a compressed body.",
    "429": "Too many images are waiting; Retry-After says for how many seconds.",
    "503": "Not ready, or shutting down.",
}
READING = ("400", "401", "403", "404")
RUNNING = tuple(ERRORS)


def document(models: Sequence[ServedModel], limits: Limits, prefix: str, wants_token: bool) -> Json:
    """Describe the API that serves these models under this prefix."""
    found: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "edgekit serve",
            "version": __version__,
            "description": "Image classification. TensorFlow Serving's REST form and the Open Inference Protocol v2 "
            "serve the same models; where a path names a model, `/versions/1` may follow the name. "
            f"A body has at most {limits.body >> 20} MB.",
        },
        "servers": [{"url": prefix or "/"}],
        "paths": _paths(models),
        "components": {
            "schemas": _schemas(limits),
            "responses": {status: _content(text, _ref("Error")) for status, text in ERRORS.items()},
        },
    }
    if wants_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _paths(models: Sequence[ServedModel]) -> Json:
    names = [model.name for model in models]
    tensor = {"name": models[0].input_name, "datatype": "BYTES", "shape": [1], "data": [PNG]}
    predict, infer = {"instances": [{"b64": PNG}]}, {"inputs": [tensor]}
    name = _parameter("name", "path", {"type": "string", "enum": names})
    top = _parameter("top", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 5})
    model = _parameter("model", "query", {"type": "string", "enum": names, "default": names[0]})
    image: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = _object({"image": image}, ["image"])
    images = {f"image/{kind.lower()}": {"schema": image} for kind in FORMATS}
    upload = {"multipart/form-data": {"schema": form}, **images, "application/octet-stream": {"schema": image}}
    return {
        "/": {"get": _get("A page to try the models with", "text/html", {"type": "string"}, public=True)},
        "/classify": {"post": _post("Classify one image", upload, _ref("Classification"), [top, model])},
        "/models": {"get": _get("The models and the limits", "application/json", _ref("Models"))},
        "/openapi.json": {"get": _get("This document", "application/json", {"type": "object"})},
        "/metrics": {"get": _get("Counters for Prometheus", "text/plain", {"type": "string"})},
        "/v1/models/{name}": _named(name, get=_get("TensorFlow Serving: status", "application/json", _ref("Status"))),
        "/v1/models/{name}/metadata": _named(
            name, get=_get("TensorFlow Serving: signature", "application/json", {"type": "object"})
        ),
        "/v1/models/{name}:predict": _named(
            name, post=_post("TensorFlow Serving: scores of images", _json("Predict", predict), _ref("Predicted"))
        ),
        "/v2": {"get": _get("Open Inference: the server", "application/json", _ref("Server"))},
        "/v2/health/live": {"get": _get("Open Inference: is it alive?", "application/json", _flag("live"), True)},
        "/v2/health/ready": {
            "get": _get("Open Inference: is it ready?", "application/json", _flag("ready"), True, _flag("ready"))
        },
        "/v2/models/{name}": _named(
            name, get=_get("Open Inference: a model", "application/json", _ref("ModelMetadata"))
        ),
        "/v2/models/{name}/ready": _named(
            name, get=_get("Open Inference: is a model ready?", "application/json", _flag("ready", "name"),
                           busy=_flag("ready", "name"))
        ),
        "/v2/models/{name}/infer": _named(
            name, post=_post("Open Inference: scores of images", _json("Infer", infer), _ref("Inferred"))
        ),
    }


def _schemas(limits: Limits) -> Json:
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    base64 = {"type": "string", "contentEncoding": "base64"}
    scores = _list(_list(number))
    instances = _list(_object({"b64": base64}, ["b64"]), minItems=1, maxItems=limits.images)
    prediction = _object({"label": text, "score": number}, ["label", "score"])
    tensor = _object({"name": text, "datatype": text, "shape": _list(whole)}, ["name", "datatype", "shape"])
    parameters = {"type": "object"}
    milliseconds = _object({"queue": number, "prepare": number, "inference": number})
    verdict = {"enum": ["pass", "fail", "inconclusive", "stale", "none"]}
    model = {
        "name": text, "labels": _list(text), "input": {"type": "object"}, "scheme": text,
        "threshold": {"type": ["number", "null"]}, "verdict": verdict, "sha256": text,
    }
    status = _object({"error_code": text, "error_message": text})
    version = _object({"version": text, "state": {"enum": ["AVAILABLE", "LOADING"]}, "status": status})
    input_tensor = _object(
        {**tensor["properties"], "parameters": parameters, "data": {"type": "array"}}, ["name", "datatype", "shape"]
    )
    output = _object({"name": {"enum": ["scores", "label"]}, "parameters": parameters}, ["name"])
    inferred = {"model_name": text, "model_version": text, "id": text,
                "outputs": _list({**tensor, "properties": {**tensor["properties"], "data": {"type": "array"}}})}
    metadata = {"name": text, "versions": _list(text), "platform": text, "inputs": _list(tensor),
                "outputs": _list(tensor), "parameters": parameters}
    return {
        "Error": _object({"error": text, "hint": text, "request_id": text}, ["error"]),
        "Classification": _object(
            {"model": text, "predictions": _list(prediction), "sure": {"type": "boolean"},
             "milliseconds": milliseconds},
            ["model", "predictions", "sure", "milliseconds"],
        ),
        "Models": _object({"models": _list(_object(model, list(model))), "limits": {"type": "object"}}, ["models"]),
        "Status": _object({"model_version_status": _list(version)}, ["model_version_status"]),
        "Predict": _object(
            {"signature_name": {"enum": ["serving_default", ""]}, "instances": instances}, ["instances"]
        ),
        "Predicted": _object({"predictions": scores, "outputs": scores}),
        "Server": _object({"name": text, "version": text, "extensions": _list(text)}, ["name", "version"]),
        "ModelMetadata": _object(metadata, ["name", "versions", "inputs", "outputs"]),
        "Infer": _object(
            {"id": text, "parameters": parameters, "inputs": _list(input_tensor, minItems=1, maxItems=1),
             "outputs": _list(output)},
            ["inputs"],
        ),
        "Inferred": _object(inferred, ["model_name", "outputs"]),
    }


def _get(summary: str, media: str, schema: Json, public: bool = False, busy: Json | None = None) -> Json:
    """A GET operation; `busy` is what its answer 503 holds where it is no error."""
    answers: Json = {"200": _content("Done.", schema, media), **_references(READING)}
    if busy:
        answers["503"] = _content("Not ready.", busy)
    return {"summary": summary, "responses": answers, **({"security": []} if public else {})}


def _post(summary: str, content: Json, schema: Json, parameters: Sequence[Json] = ()) -> Json:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _content("The answer.", schema), **_references(RUNNING)},
    }


def _named(parameter: Json, **operations: Json) -> Json:
    return {"parameters": [parameter], **operations}


def _references(statuses: Sequence[str]) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _content(description: str, schema: Json, media: str = "application/json") -> Json:
    return {"description": description, "content": {media: {"schema": schema}}}


def _json(schema: str, example: Json) -> Json:
    return {"application/json": {"schema": _ref(schema), "example": example}}


def _flag(name: str, *others: str) -> Json:
    strings = {other: {"type": "string"} for other in others}
    return _object({name: {"type": "boolean"}, **strings}, [name, *others])


def _parameter(name: str, where: str, schema: Json) -> Json:
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def _object(properties: Json, required: Sequence[str] = ()) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _list(items: Json, **bounds: int) -> Json:
    return {"type": "array", "items": items, **bounds}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
