"""The binary path for programs on this machine: frames over a Unix socket (docs/LOCAL_SERVER.md).

Invariant: a frame that cannot be answered is answered with a status and a sentence; only a frame
that announces more than the limit ends the connection, because what follows has no meaning.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edge_sdk.errors import EdgeError
from edge_sdk.local_server.connection import Connection, ConnectionEnded
from edge_sdk.local_server.feedback import take_feedback
from edge_sdk.local_server.inference import infer, predict_row
from edge_sdk.local_server.limits import ByteBudget, ServerLimits
from edge_sdk.local_server.refusal import (
    BAD_REQUEST,
    FAILED,
    NOT_IMPLEMENTED,
    TOO_LARGE,
    RequestRefused,
    status_of,
)
from edge_sdk.local_server.served_models import OWN, ServedModel, ServedModels
from edge_sdk.local_server.server_metrics import ServerMetrics
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.window import Source
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.prediction import Prediction

_log = Log(__name__)

PROTOCOL: Final = "socket"
OK: Final = 200
ROW, INFER, FEEDBACK, METADATA, MODELS = 1, 2, 3, 4, 5

HEADER: Final = struct.Struct("<IHH")
"""Bytes of the body; kind (in an answer: status); number of the model (in an answer: kind)."""

ANSWER: Final = struct.Struct("<BBHHHI4xd")
"""Source; flags; bytes of label, version and id; count of numbers; confidence."""

JSON_BYTES: Final = struct.Struct("<I")
DEGRADED, HAS_LABEL, WHOLE_NUMBER, HAS_CONFIDENCE = 1, 2, 4, 8
SOURCES: Final[Mapping[Source, int]] = {"pack": 0, "model": 1, "cloud": 2, "default": 3}


class FrameService:
    """Serves connections of one server over a Unix socket.

    Args:
        device: to which outcomes are reported.
        models: that are asked.
        limits: of the server.
        budget: of all bodies.
        metrics: counts.
    """

    def __init__(
        self,
        device: EdgeDevice,
        models: ServedModels,
        limits: ServerLimits,
        budget: ByteBudget,
        metrics: ServerMetrics,
    ) -> None:
        self._device = device
        self._models = models
        self._limits = limits
        self._budget = budget
        self._metrics = metrics

    def serve(self, connection: Connection) -> None:
        """Answer frames until the client ends the connection."""
        connection.serve(self._exchange)

    def _exchange(self, connection: Connection) -> bool:
        size, kind, number = HEADER.unpack(connection.take(HEADER.size))
        is_read = False
        try:
            if size > self._limits.body_bytes:
                limit = self._limits.body_bytes
                raise RequestRefused(TOO_LARGE, f"expected at most {limit} bytes, got {size}")
            with self._budget.taken(size):
                body = connection.take(size)
                is_read = True
                connection.answering()
                status, answer = OK, self._answer(kind, number, body)
        except EdgeError as error:
            status, answer = status_of(error), str(error).encode()
        except ConnectionEnded:
            raise
        except Exception:
            _log.exception("a frame to the local server failed")
            status, answer = FAILED, b"the server failed; its log says why"
        self._metrics.answered(PROTOCOL, status)
        connection.send(HEADER.pack(len(answer), status, kind) + answer)
        return is_read

    def _answer(self, kind: int, number: int, body: bytes) -> bytes:
        if kind == ROW:
            began, model = time.perf_counter(), self._models.numbered(number)
            p = predict_row(model, body)
            self._metrics.predicted(model.name, p.source, 1, time.perf_counter() - began)
            return encode_prediction(p)
        if kind == INFER:
            return self._infer(self._models.numbered(number), body)
        if kind == FEEDBACK:
            own = number == OWN  # the device knows which of its models made a prediction
            take_feedback(self._device if own else self._models.numbered(number).calls, body)
            return b"{}"
        if kind == METADATA:
            return json.dumps(self._models.numbered(number).tensors().metadata()).encode()
        if kind == MODELS:
            return json.dumps([model.in_index() for model in self._models.all()]).encode()
        raise RequestRefused(BAD_REQUEST, f"expected a kind from {ROW} to {MODELS}, got {kind}")

    def _infer(self, model: ServedModel, body: bytes) -> bytes:
        if len(body) < JSON_BYTES.size:
            raise RequestRefused(BAD_REQUEST, "expected the length of the JSON before it")
        began, (json_bytes,) = time.perf_counter(), JSON_BYTES.unpack_from(body)
        answer = infer(model, body[JSON_BYTES.size :], json_bytes)
        seconds = time.perf_counter() - began
        self._metrics.predicted(model.name, answer.source, answer.rows, seconds)
        length = len(answer.body) if answer.json_bytes is None else answer.json_bytes
        return JSON_BYTES.pack(length) + answer.body


def encode_prediction(p: Prediction) -> bytes:
    """Return the body of the answer to a row.

    Raises:
        RequestRefused: the answer is no label and no vector of numbers.
    """
    numbers = p.probabilities if p.probabilities is not None else p.value
    if p.outputs or p.ranked is not None:
        raise RequestRefused(
            NOT_IMPLEMENTED, "this model's answer is no label or vector: send a frame to infer"
        )
    vector = b"" if numbers is None else np.asarray(numbers, "<f8").tobytes()
    label = b"" if p.label is None else str(p.label).encode()
    version, name = p.version.encode(), p.id.encode()
    flags = (
        (DEGRADED if p.degraded else 0)
        | (HAS_LABEL if p.label is not None else 0)
        | (WHOLE_NUMBER if isinstance(p.label, int) else 0)
        | (HAS_CONFIDENCE if p.confidence is not None else 0)
    )
    head = ANSWER.pack(
        SOURCES[p.source], flags, len(label), len(version), len(name),
        len(vector) // 8, p.confidence if p.confidence is not None else 0.0,
    )  # fmt: skip
    return b"".join((head, vector, label, version, name))
