"""Paths of the Open Inference Protocol, and ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from edge_sdk.local_server.http_message import BINARY, JSON, HttpHead, HttpResponse
from edge_sdk.local_server.inference import Inference
from edge_sdk.local_server.refusal import (
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RequestRefused,
)
from edge_sdk.local_server.server_metrics import MEDIA_TYPE, ServerMetrics

NAME: Final = "edge-deployment-sdk"
EXTENSIONS: Final = ("binary_tensor_data", "sequence", "metrics", "feedback")

_INFER: Final = "infer"
_POSTED: Final = (_INFER, "feedback")


class HttpRoutes:
    """Answers requests, whose bodies are plain already.

    Args:
        inference: asks the device.
        metrics: counts.
        metrics_text: returns the text of ``/metrics``.
    """

    def __init__(
        self, inference: Inference, metrics: ServerMetrics, metrics_text: Callable[[], str]
    ) -> None:
        self._inference = inference
        self._metrics = metrics
        self._metrics_text = metrics_text
        self._fixed: dict[str, Callable[[], HttpResponse]] = {
            "/v2": self._server,
            "/v2/": self._server,
            "/v2/health/live": lambda: HttpResponse.of_json({"live": True}),
            "/v2/health/ready": lambda: self._ready("ready"),
            "/metrics": lambda: HttpResponse(200, self._metrics_text().encode(), MEDIA_TYPE),
        }

    def answer(self, head: HttpHead, body: bytes) -> HttpResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused, or cannot be answered.
        """
        fixed = self._fixed.get(head.path)
        if fixed is not None:
            _check_method(head.method, "GET")
            return fixed()
        # /v2/models/NAME[/versions/VERSION][/infer|/ready|/feedback]
        parts = head.path.split("/")
        if parts[:3] != ["", "v2", "models"] or len(parts) < 4:
            raise RequestRefused(NOT_FOUND, f"there is nothing at {head.path:.80}")
        model, rest = parts[3], parts[4:]
        which = None
        if rest[:1] == ["versions"] and len(rest) > 1:
            which, rest = rest[1], rest[2:]
        action = "/".join(rest)
        _check_method(head.method, "POST" if action in _POSTED else "GET")
        return self._of_model(head, body, model, which, action)

    def _of_model(
        self, head: HttpHead, body: bytes, model: str, which: str | None, action: str
    ) -> HttpResponse:
        if action == _INFER:
            return self._infer(head, body, model, which)
        if action == "":
            return HttpResponse.of_json(self._inference.tensors(model, which).metadata())
        if action == "ready":
            self._inference.tensors(model, which)
            return HttpResponse.of_json({"name": model, "ready": True})
        if action == "feedback":
            self._inference.tensors(model)
            self._inference.feedback(body)
            return HttpResponse.of_json({})
        raise RequestRefused(NOT_FOUND, f"there is nothing at {head.path:.80}")

    def _infer(self, head: HttpHead, body: bytes, model: str, which: str | None) -> HttpResponse:
        began = time.perf_counter()
        answer = self._inference.infer(body, head.json_bytes, model, which)
        self._metrics.predicted(answer.source, answer.rows, time.perf_counter() - began)
        if answer.json_bytes is None:
            return HttpResponse(200, answer.body, JSON)
        length = ("Inference-Header-Content-Length", str(answer.json_bytes))
        return HttpResponse(200, answer.body, BINARY, (length,))

    def _server(self) -> HttpResponse:
        try:
            own = version("edge-deployment-sdk-core")
        except PackageNotFoundError:  # run from files that nobody installed
            own = ""
        about = {"name": NAME, "version": own, "extensions": list(EXTENSIONS)}
        return HttpResponse.of_json(about)

    def _ready(self, name: str) -> HttpResponse:
        ready = self._inference.is_ready()
        # The protocol wants a status of 4xx from a server that is not ready.
        return HttpResponse.of_json({name: ready}, 200 if ready else BAD_REQUEST)


def _check_method(method: str, expected: str) -> None:
    if method != expected and (method, expected) != ("HEAD", "GET"):
        raise RequestRefused(METHOD_NOT_ALLOWED, f"expected {expected}, got {method:.20}")
