"""The binary path for programs on this machine: frames over a Unix socket (docs/LOCAL_SERVER.md).

Invariant: a frame that cannot be answered is answered with a status and a sentence; only a frame
that announces more than the limit ends the connection, because what follows has no meaning.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edge_sdk.errors import EdgeError
from edge_sdk.local_server.connection import Connection, ConnectionEnded
from edge_sdk.local_server.inference import Inference
from edge_sdk.local_server.limits import ByteBudget, ServerLimits
from edge_sdk.local_server.refusal import (
    BAD_REQUEST,
    FAILED,
    NOT_IMPLEMENTED,
    TOO_LARGE,
    RequestRefused,
    status_of,
)
from edge_sdk.local_server.server_metrics import ServerMetrics
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.window import Source
    from edge_sdk.model.prediction import Prediction

_log = Log(__name__)

PROTOCOL: Final = "socket"
OK: Final = 200
ROW, INFER, FEEDBACK, METADATA = 1, 2, 3, 4

HEADER: Final = struct.Struct("<IHH")
"""Bytes of the body; kind (in an answer: status); 0 (in an answer: kind)."""

ANSWER: Final = struct.Struct("<BBHHHI4xd")
"""Source; flags; bytes of label, version and id; count of numbers; confidence."""

JSON_BYTES: Final = struct.Struct("<I")
DEGRADED, HAS_LABEL, WHOLE_NUMBER, HAS_CONFIDENCE = 1, 2, 4, 8
SOURCES: Final[Mapping[Source, int]] = {"pack": 0, "model": 1, "cloud": 2, "default": 3}


class FrameService:
    """Serves connections of one server over a Unix socket.

    Args:
        inference: asks the device.
        limits: of the server.
        budget: of all bodies.
        metrics: counts.
    """

    def __init__(
        self,
        inference: Inference,
        limits: ServerLimits,
        budget: ByteBudget,
        metrics: ServerMetrics,
    ) -> None:
        self._inference = inference
        self._limits = limits
        self._budget = budget
        self._metrics = metrics

    def serve(self, connection: Connection) -> None:
        """Answer frames until the client ends the connection."""
        is_kept = True
        try:
            while is_kept:
                connection.begin()
                is_kept = self._exchange(connection)
        except ConnectionEnded:
            pass
        connection.close(linger=not is_kept)

    def _exchange(self, connection: Connection) -> bool:
        size, kind, _ = HEADER.unpack(connection.take(HEADER.size))
        is_read = False
        try:
            if size > self._limits.body_bytes:
                limit = self._limits.body_bytes
                raise RequestRefused(TOO_LARGE, f"expected at most {limit} bytes, got {size}")
            with self._budget.taken(size):
                body = connection.take(size)
                is_read = True
                connection.answering()
                status, answer = OK, self._answer(kind, body)
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

    def _answer(self, kind: int, body: bytes) -> bytes:
        began = time.perf_counter()
        if kind == ROW:
            p = self._inference.predict_row(body)
            self._metrics.predicted(p.source, 1, time.perf_counter() - began)
            return encode_prediction(p)
        if kind == INFER:
            return self._infer(body, began)
        if kind == FEEDBACK:
            self._inference.feedback(body)
            return b"{}"
        if kind == METADATA:
            return self._inference.metadata_json()
        raise RequestRefused(BAD_REQUEST, f"expected a kind from {ROW} to {METADATA}, got {kind}")

    def _infer(self, body: bytes, began: float) -> bytes:
        if len(body) < JSON_BYTES.size:
            raise RequestRefused(BAD_REQUEST, "expected the length of the JSON before it")
        (json_bytes,) = JSON_BYTES.unpack_from(body)
        answer = self._inference.infer(body[JSON_BYTES.size :], json_bytes)
        self._metrics.predicted(answer.source, answer.rows, time.perf_counter() - began)
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
