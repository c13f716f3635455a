"""Sequences through a stateful model: what it gave as state goes into the next call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from edge_sdk.model.prediction import Prediction
from edge_sdk.model.state import RecurrentState
from edge_sdk.serving.predictor import Predictor
from edge_sdk.telemetry.groups import GroupValues


class Stream:
    """One sequence of inputs through the release that a device serves.

    Each call gets the state that the call before left. When the device changes to another release
    the sequence begins anew, because the state of one model means nothing to another. Safe from
    several threads: they take turns.
    """

    def __init__(self, serving: Callable[[], Predictor]) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._release = ""
        self._state: RecurrentState | None = None

    def predict(
        self, x: Any, *, deadline_ms: float | None = None, groups: GroupValues | None = None
    ) -> Prediction:
        """Answer the next input of the sequence; see :meth:`EdgeDevice.predict`."""
        with self._lock:
            serving = self._serving()
            if self._release != serving.release.digest:
                self._release = serving.release.digest
                self._state = RecurrentState(serving.release.manifest.signature)
            return serving.predict_any(x, deadline_ms=deadline_ms, state=self._state, groups=groups)

    def reset(self) -> None:
        """Forget the sequence: the next input is the first of another."""
        with self._lock:
            self._release = ""
