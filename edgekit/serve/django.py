"""edgekit in a Django project:

    urlpatterns = [path("vision/", include(edgekit.serve.django.urls("model.tflite")))]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import MissingExtraError
from edgekit.serve.api import Api
from edgekit.serve.messages import Request

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


def urls(*models: str | Path, token: str | None = None) -> list[URLPattern]:
    """All of the API as patterns for `include`. Which hosts are served is ALLOWED_HOSTS' business.

    Requests need no CSRF token: those of other origins' pages are refused by their Origin.

    Args:
        models: `.tflite` or `.onnx` files, as `path` or `NAME=path`.
        token: what requests must carry as a bearer token; None asks for none.

    Raises:
        EdgekitError: a model or the token cannot be used, or Django or the extra `serve` is not installed.
    """
    try:
        from django.http import HttpResponse
        from django.urls import re_path
        from django.views.decorators.csrf import csrf_exempt
    except ImportError as error:
        raise MissingExtraError("edgekit.serve.django", "serve", "django") from error
    api = Api(models, token=token)

    def answer(request: HttpRequest, path: str) -> HttpResponse:
        headers = {key.lower(): value for key, value in request.headers.items()}
        headers["host"] = request.get_host()
        inner = f"/{path}"
        prefix = request.path.removesuffix(inner)
        found = api.handle(Request(
            request.method or "", inner, request.META.get("QUERY_STRING", ""), headers, request.read, prefix
        ))
        return HttpResponse(found.body, status=found.status, headers=found.headers)

    return [re_path(r"^(?P<path>.*)\Z", csrf_exempt(answer), name="edgekit")]
