"""The REST API: a request in, a response out, whatever web framework carries them."""

from __future__ import annotations

import functools
import logging
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.core.errors import EdgekitError
from edgekit.runtime.classify import rank
from edgekit.serve import inference, multipart, open_inference, openapi, page, tf_serving
from edgekit.serve.engine import Engine
from edgekit.serve.guard import Guard
from edgekit.serve.limits import Limits
from edgekit.serve.messages import Refused, Request, Response, error_document, json_response
from edgekit.serve.metrics import CONTENT_TYPE, Metrics
from edgekit.serve.models import ServedModel, open_models

DEFAULT_TOP, MAX_TOP = 5, 1000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # that frameworks hand on

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

Handler = Callable[["Api", Request, dict[str, str | None]], Response]


class Route(NamedTuple):
    """A path, as the document and the metrics name it, and what answers it; `public` needs no token."""

    path: str
    method: str
    handler: Handler
    public: bool = False


class Api:
    """All that the server answers, for a set of models."""

    def __init__(
        self,
        models: Sequence[str | Path],
        *,
        token: str | None = None,
        hosts: Sequence[str] | None = None,
        workers: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Open the models (`path` or `NAME=path`; the first is what /classify takes by default).

        Args:
            models: `.tflite` or `.onnx` files that carry their spec.
            token: what requests must carry as a bearer token; None asks for none.
            hosts: the names that requests may be for, beside addresses; None leaves that to the framework.
            workers: threads that run models, by default one per processor.
            limits: of requests and of the queue.

        Raises:
            EdgekitError: a model or the token cannot be used, or the extra `serve` is not installed.
        """
        opened = open_models(models)
        self.limits = limits or Limits()
        self.guard = Guard(hosts=hosts, token=token)
        self.metrics = Metrics(lambda: self.engine.unfinished)
        self.engine = Engine(opened, workers=workers, limits=self.limits, on_batch=self.metrics.batch)
        self.default = opened[0]
        self.draining = False
        self._lock = threading.Lock()
        self._held = 0

    @property
    def ready(self) -> bool:
        """Whether all models are loaded, and the server is not ending."""
        return self.engine.ready and not self.draining

    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises: what goes wrong becomes a response with JSON in it."""
        begin = time.perf_counter()
        said = request.headers.get("x-request-id", "")
        request_id = said if _REQUEST_ID.fullmatch(said) else uuid.uuid4().hex
        route, response = "other", Response(500, b"")
        try:
            found, parts = _match(request)
            route = found.path if found else route
            endpoint = self._admit(request, found)
            with self._holding(request):
                response = endpoint.handler(self, request, parts)
        except Refused as error:
            response = _error(error.status, error.message, error.hint, request_id, error.headers)
        except EdgekitError as error:
            log.error("Request %s: %s", request_id, error.message)
            response = _error(500, error.message, error.hint, request_id)
        except Exception:
            log.exception("Request %s failed", request_id)
            response = _error(500, "The server failed.", "Its log says more, under this request's id.", request_id)
        method = request.method if request.method in METHODS else "other"
        self.metrics.request(route, method, response.status, time.perf_counter() - begin)
        return Response(response.status, response.body, {**_SAFE, **response.headers, "X-Request-ID": request_id})

    def refuses_unread(self, request: Request) -> bool:
        """Whether `handle` refuses a request whatever its body is: for its host, page, token, path or method."""
        try:
            self._admit(request, _match(request)[0])
        except Refused:
            return True
        return False

    def _admit(self, request: Request, found: Route | None) -> Route:
        """The endpoint of a request; raises Refused for who may not ask, and for what is not there."""
        self.guard.check_source(request.headers)
        if found is None or not found.public:
            self.guard.check_token(request.headers)
        return _endpoint(request, found)

    def body(self, request: Request) -> bytes:
        """The body of a request.

        Raises:
            Refused: 413 when it is too large, 415 when it is compressed.
        """
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "The body is compressed.", "Send it without a Content-Encoding.")
        body = request.read(self.limits.body + 1)
        if len(body) > self.limits.body:
            raise _too_large(self.limits)
        return body

    @contextmanager
    def _holding(self, request: Request) -> Iterator[None]:
        """Count the body's bytes, as its headers declare them, among those that are in memory.

        Raises:
            Refused: 413 when it is too large, 429 when there are too many of others.
        """
        said = request.headers.get("content-length", "")
        length = int(said[:18]) if said.isascii() and said.isdigit() else 0
        if "transfer-encoding" in request.headers and not length:
            length = self.limits.body
        if length > self.limits.body:
            raise _too_large(self.limits)
        with self._lock:
            if self._held + length > self.limits.held:
                raise Refused(429, "Too many large requests are being answered.", headers={"Retry-After": "1"})
            self._held += length
        try:
            yield
        finally:
            with self._lock:
                self._held -= length

    def close(self) -> None:
        """Take no more work and finish what was accepted."""
        self.engine.close()


def _too_large(limits: Limits) -> Refused:
    """A body beyond its limit."""
    return Refused(413, f"The body is larger than {limits.body >> 20} MB.", "Send a smaller image, or fewer.")


def _page(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return page.response()


def _models(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return json_response({
        "models": [_description(model) for model in api.engine.models.values()],
        "limits": {"body_bytes": api.limits.body, "pixels": api.limits.pixels, "images": api.limits.images},
    })


def _description(model: ServedModel) -> dict[str, Any]:
    spec = model.spec
    return {
        "name": model.name,
        "labels": spec.labels,
        "input": {"height": spec.input.height, "width": spec.input.width, "channels": spec.input.channels},
        "scheme": spec.scheme,
        "threshold": spec.output.calibration.threshold,
        "verdict": model.verdict,
        "sha256": model.sha256,
    }


def _classify(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    try:
        query = urllib.parse.parse_qs(request.query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise Refused(400, "The query has too many parameters.", "There are only top and model.") from None
    if unknown := set(query) - {"top", "model"}:
        raise Refused(400, f"The query has the unknown parameter {sorted(unknown)[0][:40]!r}.")
    top = query.get("top", [str(DEFAULT_TOP)])[-1]
    if not (top.isascii() and top.isdigit() and len(top) < 6 and 1 <= int(top) <= MAX_TOP):
        raise Refused(400, f"top must be a whole number from 1 to {MAX_TOP}.")
    model = inference.find(api.engine, query["model"][-1]) if "model" in query else api.default
    [outcome] = inference.run(api.engine, model, [_image(api, request)])
    answer = rank(outcome.scores, model.spec, int(top))
    return json_response({
        "model": model.name,
        "predictions": [{"label": item.label, "score": round(item.score, 6)} for item in answer.predictions],
        "sure": answer.sure,
        "milliseconds": {
            "queue": round(1000 * outcome.queue_seconds, 3),
            "prepare": round(1000 * outcome.prepare_seconds, 3),
            "inference": round(1000 * outcome.inference_seconds, 3),
        },
    })


def _image(api: Api, request: Request) -> bytes:
    """The image file in a body: all of it, or the one file of a form. Its declared type does not matter."""
    body, content_type = api.body(request), request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/"):
        return body
    files = [part.content for part in multipart.parse(body, content_type) if part.is_file]
    if len(files) != 1:
        raise Refused(400, f"The form has {len(files)} files; /classify takes one.")
    return files[0]


def _openapi(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    models = list(api.engine.models.values())
    return json_response(openapi.document(models, api.limits, request.prefix, api.guard.wants_token))


def _metrics(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return Response(200, api.metrics.text(), {"Content-Type": CONTENT_TYPE})


def _found(api: Api, parts: dict[str, str | None]) -> ServedModel:
    return inference.find(api.engine, parts["name"] or "", parts["version"])


def _tf_status(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return tf_serving.status(api.engine, _found(api, parts))


def _tf_metadata(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return tf_serving.metadata(_found(api, parts))


def _tf_predict(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return tf_serving.predict(api.engine, _found(api, parts), api.body(request))


def _server(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return open_inference.server_metadata()


def _live(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return json_response({"live": True})


def _ready(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    api.engine.start()
    return json_response({"ready": api.ready}, 200 if api.ready else 503)


def _model_ready(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    model = _found(api, parts)
    api.engine.start()
    return json_response({"name": model.name, "ready": api.ready}, 200 if api.ready else 503)


def _model_metadata(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return open_inference.metadata(_found(api, parts))


def _infer(api: Api, request: Request, parts: dict[str, str | None]) -> Response:
    return open_inference.infer(api.engine, _found(api, parts), api.body(request), request.headers)


ROUTES = (
    Route("/", "GET", _page, public=True),
    Route("/classify", "POST", _classify),
    Route("/models", "GET", _models),
    Route("/openapi.json", "GET", _openapi),
    Route("/metrics", "GET", _metrics),
    Route("/v1/models/{name}", "GET", _tf_status),
    Route("/v1/models/{name}/metadata", "GET", _tf_metadata),
    Route("/v1/models/{name}:predict", "POST", _tf_predict),
    Route("/v2", "GET", _server),
    Route("/v2/health/live", "GET", _live, public=True),
    Route("/v2/health/ready", "GET", _ready, public=True),
    Route("/v2/models/{name}", "GET", _model_metadata),
    Route("/v2/models/{name}/ready", "GET", _model_ready),
    Route("/v2/models/{name}/infer", "POST", _infer),
)


@functools.cache
def _pattern(path: str) -> re.Pattern[str]:
    """A path's expression; where it names a model, a version may follow the name."""
    name = r"(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?"
    return re.compile(re.escape(path).replace(r"\{name\}", name))


def _match(request: Request) -> tuple[Route | None, dict[str, str | None]]:
    for route in ROUTES:
        if found := _pattern(route.path).fullmatch(request.path):
            return route, found.groupdict()
    return None, {}


def _endpoint(request: Request, route: Route | None) -> Route:
    if route is None:
        raise Refused(404, "There is nothing at this path.", "GET /openapi.json describes what there is.")
    allowed = ("GET", "HEAD") if route.method == "GET" else (route.method,)
    if request.method not in allowed:
        said = ", ".join(allowed)
        raise Refused(405, f"This path takes {said} only.", headers={"Allow": said})
    return route


def _error(status: int, message: str, hint: str, request_id: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(error_document(message, hint, request_id), status, headers)
