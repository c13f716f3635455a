"""Recurrent state of a model, passed from one call to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.model.release import Feed


class RecurrentState:
    """Recurrent state of one sequence; not safe from several threads at once.

    Attributes:
        feed: the state's input tensors for the next call.
    """

    def __init__(self, signature: Signature) -> None:
        self._links = signature.state
        self.feed = initial_state(signature)

    def update(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Take the next state from ``outputs``."""
        self.feed = {link.input: outputs[link.output] for link in self._links}


def initial_state(signature: Signature) -> Feed:
    """Return zeros (empty strings) for every state input; an open dimension has size one."""
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
