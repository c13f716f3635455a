"""Sequences of inputs to a model with recurrent state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_sdk.model.state import RecurrentState

if TYPE_CHECKING:
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.telemetry.groups import GroupValues


class Stream:
    """One sequence of inputs to the release that a device serves.

    Each call starts from the state that the previous call ended with. When the device changes to
    another release the sequence starts over, because the state of one model means nothing to
    another. Safe from several threads: they take turns.

    Args:
        serving: returns the release that serves now.
    """

    def __init__(self, serving: Callable[[], Predictor]) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._release = ""
        self._state: RecurrentState | None = None

    def predict(
        self, x: Any, *, deadline_ms: float | None = None, groups: GroupValues | None = None
    ) -> Prediction:
        """Answer the next input of the sequence; see :meth:`edge_sdk.EdgeDevice.predict`.

        Args:
            x: the input.
            deadline_ms: milliseconds to wait for the cloud, instead of the plan's.
            groups: group of the row by column.
        """
        with self._lock:
            serving = self._serving()
            # By digest: the predictor is also replaced when only the plan's terms change.
            if self._release != serving.release.digest:
                self._release = serving.release.digest
                self._state = RecurrentState(serving.release.manifest.signature)
            return serving.predict_any(x, deadline_ms=deadline_ms, state=self._state, groups=groups)

    def reset(self) -> None:
        """Start over: the next input is the first of a new sequence."""
        with self._lock:
            self._release = ""
