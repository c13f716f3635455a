"""Paths of the Open Inference Protocol, and ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from edge_sdk.local_server.feedback import take_feedback
from edge_sdk.local_server.http_message import BINARY, JSON, HttpHead, HttpResponse
from edge_sdk.local_server.inference import infer
from edge_sdk.local_server.refusal import (
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RequestRefused,
)
from edge_sdk.local_server.served_models import ServedModel, ServedModels
from edge_sdk.local_server.server_metrics import MEDIA_TYPE, ServerMetrics

NAME: Final = "edge-deployment-sdk"
EXTENSIONS: Final = (
    *("binary_tensor_data", "sequence", "model_repository_index", "metrics", "feedback"),
)

_INFER: Final = "infer"
_POSTED: Final = (_INFER, "feedback")


class HttpRoutes:
    """Answers requests, whose bodies are plain already.

    Args:
        models: that are asked.
        metrics: counts.
        metrics_text: returns the text of ``/metrics``.
    """

    def __init__(
        self, models: ServedModels, metrics: ServerMetrics, metrics_text: Callable[[], str]
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._metrics_text = metrics_text
        self._fixed: dict[str, tuple[str, Callable[[], HttpResponse]]] = {
            "/v2": ("GET", self._server),
            "/v2/": ("GET", self._server),
            "/v2/health/live": ("GET", lambda: HttpResponse.of_json({"live": True})),
            "/v2/health/ready": ("GET", self._ready),
            "/v2/models": ("GET", self._metadata),
            "/v2/repository/index": ("POST", self._index),
            "/metrics": (
                "GET", lambda: HttpResponse(200, self._metrics_text().encode(), MEDIA_TYPE)
            ),
        }  # fmt: skip

    def answer(self, head: HttpHead, body: bytes) -> HttpResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused, or cannot be answered.
        """
        fixed = self._fixed.get(head.path)
        if fixed is not None:
            method, answered = fixed
            _check_method(head.method, method)
            return answered()
        # /v2/models/NAME[/versions/VERSION][/infer|/ready|/feedback]
        parts = head.path.split("/")
        if parts[:3] != ["", "v2", "models"] or len(parts) < 4:
            raise RequestRefused(NOT_FOUND, f"there is nothing at {head.path:.80}")
        model, rest = self._models.named(parts[3]), parts[4:]
        version = None
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = rest[1], rest[2:]
        action = "/".join(rest)
        _check_method(head.method, "POST" if action in _POSTED else "GET")
        return self._of_model(head, body, model, version, action)

    def _of_model(
        self, head: HttpHead, body: bytes, model: ServedModel, version: str | None, action: str
    ) -> HttpResponse:
        if action == _INFER:
            return self._infer(head, body, model, version)
        if action == "":
            return HttpResponse.of_json(model.tensors(version).metadata())
        if action == "ready":
            model.tensors(version)
            return HttpResponse.of_json({"name": model.name, "ready": True})
        if action == "feedback":
            take_feedback(model.calls, body)
            return HttpResponse.of_json({})
        raise RequestRefused(NOT_FOUND, f"there is nothing at {head.path:.80}")

    def _infer(
        self, head: HttpHead, body: bytes, model: ServedModel, version: str | None
    ) -> HttpResponse:
        began = time.perf_counter()
        answer = infer(model, body, head.json_bytes, version)
        seconds = time.perf_counter() - began
        self._metrics.predicted(model.name, answer.source, answer.rows, seconds)
        if answer.json_bytes is None:
            return HttpResponse(200, answer.body, JSON)
        length = ("Inference-Header-Content-Length", str(answer.json_bytes))
        return HttpResponse(200, answer.body, BINARY, (length,))

    def _metadata(self) -> HttpResponse:
        """Return the metadata of all models; of one without a release its name and why."""
        return HttpResponse.of_json({"models": [model.metadata() for model in self._models.all()]})

    def _index(self) -> HttpResponse:
        return HttpResponse.of_json([model.in_index() for model in self._models.all()])

    def _server(self) -> HttpResponse:
        try:
            own = version("edge-deployment-sdk-core")
        except PackageNotFoundError:  # run from files that nobody installed
            own = ""
        about = {"name": NAME, "version": own, "extensions": list(EXTENSIONS)}
        return HttpResponse.of_json(about)

    def _ready(self) -> HttpResponse:
        # The protocol: ready if all models are, and a status of 4xx from a server that is not.
        waits = {m.name: why for m in self._models.all() if (why := m.why_not_ready()) is not None}
        if not waits:
            return HttpResponse.of_json({"ready": True})
        return HttpResponse.of_json({"ready": False, "waits": waits}, BAD_REQUEST)


def _check_method(method: str, expected: str) -> None:
    if method != expected and (method, expected) != ("HEAD", "GET"):
        raise RequestRefused(METHOD_NOT_ALLOWED, f"expected {expected}, got {method:.20}")
