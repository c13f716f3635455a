"""Sequences through a stateful model: what it gave as state goes into the next call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.manifest import Signature
from edge_sdk.grouping import Said
from edge_sdk.release import Feed

if TYPE_CHECKING:
    from edge_sdk.prediction import Prediction
    from edge_sdk.serving import Serving


class State:
    """What a stateful model remembers of one sequence; not safe from several threads at once.

    Attributes:
        feed: the state's input tensors for the next call.
    """

    def __init__(self, signature: Signature) -> None:
        self._links = signature.state
        self.feed = initial_state(signature)

    def keep(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Take the next state out of ``outputs``."""
        self.feed = {link.input: outputs[link.output] for link in self._links}


def initial_state(signature: Signature) -> Feed:
    """Zeros (empty strings) for every state input; a dimension that is open has size one."""
    specs = {spec.name: spec for spec in signature.inputs}
    feed: Feed = {}
    for link in signature.state:
        spec = specs[link.input]
        shape = [size or 1 for size in spec.shape]
        if spec.dtype == "string":
            feed[link.input] = np.full(shape, "", dtype=object)
        else:
            feed[link.input] = np.zeros(shape, dtype=spec.dtype)
    return feed


class Stream:
    """One sequence of inputs through the release that a device serves.

    Each call gets the state that the call before left. When the device changes to another release
    the sequence begins anew, because the state of one model means nothing to another. Safe from
    several threads: they take turns.
    """

    def __init__(self, serving: Callable[[], Serving]) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._release = ""
        self._state: State | None = None

    def predict(
        self, x: Any, *, deadline_ms: float | None = None, groups: Said | None = None
    ) -> Prediction:
        """Answer the next input of the sequence; see :meth:`EdgeDevice.predict`."""
        with self._lock:
            serving = self._serving()
            if self._release != serving.release.digest:
                self._release = serving.release.digest
                self._state = State(serving.release.manifest.signature)
            return serving.predict_any(x, deadline_ms=deadline_ms, state=self._state, groups=groups)

    def reset(self) -> None:
        """Forget the sequence: the next input is the first of another."""
        with self._lock:
            self._release = ""
