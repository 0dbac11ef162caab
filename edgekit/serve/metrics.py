"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgekit.core.errors import MissingExtraError

if TYPE_CHECKING:
    from edgekit.serve.engine import Outcome

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCHES = (1, 2, 4, 8)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one API, in a registry of their own. Labels are routes and models: their number is bounded."""

    def __init__(self, unfinished: Callable[[], int]) -> None:
        """`unfinished` is asked for the length of the queue.

        Raises:
            MissingExtraError: prometheus-client is not installed.
        """
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingExtraError("The server", "serve", "prometheus-client") from error
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "edgekit_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "edgekit_request_seconds", "From request to response.", ("route",), registry=self.registry, buckets=SECONDS
        )
        self._images = Counter("edgekit_images", "Images answered.", ("model",), registry=self.registry)
        self._batches = Histogram(
            "edgekit_batch_images", "Images run at once.", ("model",), registry=self.registry, buckets=BATCHES
        )
        self._stages = Histogram(
            "edgekit_stage_seconds",
            "An image's time in the queue, in decoding and preprocessing (prepare), and in inference.",
            ("model", "stage"),
            registry=self.registry,
            buckets=SECONDS,
        )
        Gauge("edgekit_unfinished_images", "Images waiting or running.", registry=self.registry).set_function(
            unfinished
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def batch(self, model: str, outcomes: Sequence[Outcome]) -> None:
        """Count images that were run together."""
        self._images.labels(model).inc(len(outcomes))
        self._batches.labels(model).observe(len(outcomes))
        for outcome in outcomes:
            self._stages.labels(model, "queue").observe(outcome.queue_seconds)
            self._stages.labels(model, "prepare").observe(outcome.prepare_seconds)
            self._stages.labels(model, "inference").observe(outcome.inference_seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
