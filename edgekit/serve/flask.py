"""edgekit in a Flask application:

    app.register_blueprint(edgekit.serve.flask.blueprint("model.tflite"), url_prefix="/vision")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import MissingExtraError
from edgekit.serve.api import METHODS, Api
from edgekit.serve.messages import Request, error_document, json_response

if TYPE_CHECKING:
    import flask


def blueprint(*models: str | Path, token: str | None = None, name: str = "edgekit") -> flask.Blueprint:
    """All of the API as a blueprint. Which hosts are served is the application's business.

    Args:
        models: `.tflite` or `.onnx` files, as `path` or `NAME=path`.
        token: what requests must carry as a bearer token; None asks for none.
        name: of the blueprint, where an application has several.

    Raises:
        EdgekitError: a model or the token cannot be used, or the extra `serve` is not installed.
    """
    return blueprint_of(Api(models, token=token), name)


def blueprint_of(api: Api, name: str = "edgekit") -> flask.Blueprint:
    """The blueprint that hands requests to an API."""
    try:
        import flask
    except ImportError as error:
        raise MissingExtraError("The server", "serve", "flask") from error
    made = flask.Blueprint(name, __name__)

    def answer(path: str = "") -> flask.Response:
        request = flask.request
        headers = {key.lower(): value for key, value in request.headers.items()}
        headers["host"] = request.host
        full = request.path
        inner = f"/{path}"
        prefix = request.root_path + full.removesuffix(inner)
        found = api.handle(Request(
            request.method, inner, request.query_string.decode("latin-1"), headers, request.stream.read, prefix
        ))
        return flask.Response(found.body, found.status, found.headers)

    for rule in ("/", "/<path:path>"):
        made.add_url_rule(rule, view_func=answer, methods=METHODS, provide_automatic_options=False)
    return made


def application(api: Api) -> flask.Flask:
    """A Flask application of the API alone, for `edgekit serve`."""
    try:
        import flask
    except ImportError as error:
        raise MissingExtraError("The server", "serve", "flask") from error
    app = flask.Flask("edgekit", static_folder=None)
    app.register_blueprint(blueprint_of(api))

    @app.errorhandler(405)
    def refuse(error: Exception) -> flask.Response:  # what Flask itself refuses: methods that nobody knows
        document = json_response(error_document("There is no such method."), 405)
        return flask.Response(document.body, document.status, document.headers)

    return app
