"""Forests of decision trees in compiled code, where ``edge-deployment-sdk-native`` is installed.

Its answers are onnxruntime's to the last bit, or it is not used: :func:`native_forest` compares
them on rows of many sizes when the model is loaded. Everything works the same without it, and where
what is installed was built for another interpreter or for another version of this package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.lean_graph import only_node

INTERFACE: Final = 1
"""Of the compiled module that is called here; one with another number is not used."""

ROWS: Final = 64
"""Rows on which the answers are compared, a millisecond for a hundred trees."""

_SIZES: Final = (1e-3, 1.0, 30.0, 1e3)
"""Standard deviations of their values: rows of small ones and of large ones take other paths."""

Ask = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Answers a row [1, features] with the session."""


def native_forest(model: bytes | str, features: int, ask: Ask) -> Any | None:
    """Return the forest that ``model`` is, or ``None`` where the session answers.

    That is the case without the compiled package, for a graph that is more than one ensemble of
    trees, and for one that it does not read or answers otherwise.

    Args:
        model: an ONNX file; a path stands for one that is too large to be read.
        features: of a row.
        ask: the session's answer to a row, of one thread.
    """
    node = only_node(model, "TreeEnsembleRegressor") if isinstance(model, bytes) else None
    if node is None or sys.byteorder != "little":
        return None
    compiled = _compiled()
    if compiled is None:
        return None
    try:
        forest = compiled.Forest(node, features)
    except (ValueError, MemoryError):
        return None
    return forest if _agrees(forest, features, ask) else None


def _compiled() -> Any | None:
    """Return the compiled module, if there is one that fits."""
    try:
        import edge_native
    except ImportError:  # none, or one for another interpreter or machine
        return None
    return edge_native if getattr(edge_native, "INTERFACE", None) == INTERFACE else None


def _agrees(forest: Any, features: int, ask: Ask) -> bool:
    """Return whether the forest's answers have the bits of the session's."""
    random = np.random.default_rng(0)
    sizes = random.choice(_SIZES, (ROWS, 1))
    rows = (sizes * random.normal(size=(ROWS, features))).astype(np.float32)
    rows[::2] = np.rint(rows[::2])  # counts and codes lie on thresholds' sides
    row = np.empty((1, features), np.float32)
    scores: NDArray[np.float32] | None = None
    for each in rows:
        row[0] = each
        expected = ask(row)
        if expected.dtype != np.float32:
            return False
        if scores is None:
            scores = np.empty(expected.shape, np.float32)
            try:
                run = forest.bind(row, scores).run
            except ValueError:  # other outputs than the session's
                return False
        run()
        if scores.tobytes() != expected.tobytes():
            return False
    return True
