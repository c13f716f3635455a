"""The vector φ of one prediction, as serving has its parts; :mod:`.basis` says what it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import LEAST_LOG

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.contract.personal.prior import Basis

Vector = NDArray[np.float32]

_LEAST: Final = float(np.float32(math.exp(LEAST_LOG)))


class BasisReader:
    """Reads φ [d] out of a row, its outputs and its probabilities.

    Attributes:
        keeps_row: φ is the row itself.
        behind: output that φ has behind the row, if both are float32.

    Args:
        basis: of a prior, that the release can give.
        manifest: of the release.
        size: d.
    """

    def __init__(self, basis: Basis, manifest: Manifest, size: int) -> None:
        signature = manifest.signature
        self._features = len(signature.columns) if basis.startswith("features") else 0
        embedding = signature.output("embedding") if basis.endswith("embedding") else None
        self._embedding = None if embedding is None else embedding.name
        self._dtype = np.dtype(signature.inputs[0].dtype)
        self.keeps_row = bool(self._features) and embedding is None
        self._size = size
        whole = embedding is not None and embedding.dtype == self._dtype.name == "float32"
        self.behind = self._embedding if self._features and whole else None

    def of(
        self,
        row: bytes | None,
        outputs: Mapping[str, NDArray[Any]],
        scores: Sequence[float] | NDArray[Any] | None,
    ) -> Vector | None:
        """Return φ [d]; ``None`` where a part of it is missing.

        Args:
            row: of a table of one dtype, in that dtype; ``None`` for other inputs.
            outputs: of the model, batch of one; none if it was not asked.
            scores: probabilities [C] of the answer; ``None`` for a regressor.
        """
        parts: list[Vector] = []
        if self._features:
            if row is None:
                return None
            parts.append(np.frombuffer(row, self._dtype).astype(np.float32, copy=False))
        if self._embedding is not None:
            if self._embedding not in outputs:
                return None
            parts.append(outputs[self._embedding].reshape(-1).astype(np.float32, copy=False))
        if not parts and self._size:
            assert scores is not None
            parts.append(_logs(scores))
        if not parts:
            return np.empty(0, np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def of_batch(
        self,
        rows: NDArray[Any] | None,
        outputs: Mapping[str, NDArray[Any]],
        scores: NDArray[Any] | None,
        asked: NDArray[np.bool_] | None,
        count: int,
    ) -> Vector | None:
        """Return φ [N, d]; NaN in rows where a part is missing, ``None`` where it is in all.

        Args:
            rows: [N, columns] of a table of one dtype; ``None`` for other inputs.
            outputs: of the model, of the rows that it was asked.
            scores: probabilities [N, C] of the answers; ``None`` for a regressor.
            asked: which rows the model was asked, [N]; ``None`` for all.
            count: N.
        """
        if not self._size:
            return np.empty((count, 0), np.float32)
        parts: list[NDArray[Any]] = []
        if self._features:
            if rows is None:
                return None
            parts.append(rows)
        if self._embedding is not None:
            if self._embedding not in outputs:
                return None
            found = outputs[self._embedding]
            found = found.reshape(len(found), -1)
            if asked is not None:
                whole = np.full((len(asked), found.shape[1]), np.nan, np.float32)
                whole[asked] = found
                found = whole
            parts.append(found)
        if not parts:
            assert scores is not None
            parts.append(_logs(scores))
        return np.hstack([part.astype(np.float32, copy=False) for part in parts])

    def bound(self, place: Vector, outputs: Mapping[str, NDArray[Any]]) -> Callable[[Any], Vector]:
        """Return a function of the probabilities that gives φ of a row whose buffers are bound.

        What it returns may be a buffer, which the next row overwrites.

        Args:
            place: input buffer [columns].
            outputs: output buffers by name, batch of one.
        """
        inner = None if self._embedding is None else outputs[self._embedding].reshape(-1)
        if inner is None:
            if self._features:
                return lambda scores: place
            return _logs if self._size else lambda scores: place[:0]
        if not self._features and inner.dtype == np.float32:
            return lambda scores: inner
        count, joined = self._features, np.empty(self._size, np.float32)

        def join(scores: Any) -> Vector:
            joined[:count] = place
            joined[count:] = inner
            return joined

        if not count:
            return lambda scores: inner.astype(np.float32)
        return join


def _logs(scores: Sequence[float] | NDArray[Any]) -> Vector:
    """Return logarithms of probabilities, in float32 as the hub takes them."""
    logs: Vector = np.log(np.maximum(np.asarray(scores, np.float32), np.float32(_LEAST)))
    return logs
