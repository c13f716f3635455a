"""Two shapes of checked input: a dense row of one dtype, or tensors by name.

Most models take one row of numbers; they get the short way. Everything else takes the general one.
Both give the same keys, columns and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.inference import Model, Outputs
from edge_sdk.keys import Canonicaliser
from edge_sdk.release import Feed, Release
from edge_sdk.schema import InputSchema


class Inputs(Protocol):
    """What serving and monitoring need to do with an application's input."""

    def check(self, x: Any) -> Any:
        """The checked input, not shared with the caller; raises :class:`InputError`."""

    def key(self, given: Any) -> bytes | None:
        """Its exact key, or ``None`` where it has none."""

    def keys(self, given: Sequence[Any]) -> Sequence[bytes | None]:
        """The exact keys of several inputs."""

    def run(self, given: Any) -> Outputs:
        """The model's outputs with a batch axis of one; they stay the caller's to keep."""

    def values(self, given: Any) -> tuple[Any, ...]:
        """Its feature values as Python scalars, in column order; ``None`` where one is missing."""

    def columns(self, given: Sequence[Any]) -> Any:
        """One sequence of values per feature, over several inputs."""


class DenseInputs:
    """Rows of one dtype: ``given`` is a 1-D array of the input tensor's dtype."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        assert schema.dense is not None
        self._schema = schema
        self._model = model
        self._tensor = schema.dense.name
        self._dtype = np.dtype(schema.dense.dtype)
        self._shape = (schema.width,)
        self._is_float = self._dtype.kind == "f"
        self._canonicaliser = canonicaliser

    def check(self, x: Any) -> NDArray[Any]:
        if type(x) is np.ndarray and x.dtype == self._dtype and x.shape == self._shape:
            row: NDArray[Any] = x.copy()
            # NaN and infinities survive a sum of squares, so one product checks them all.
            if not self._is_float or isfinite(row.dot(row)):
                return row
        given: NDArray[Any] = self._schema.row(x)[self._tensor][0]
        shared = isinstance(x, np.ndarray) and np.may_share_memory(given, x)
        return given.copy() if shared else given

    def key(self, given: NDArray[Any]) -> bytes | None:
        if self._schema.missing and self._is_float and not np.isfinite(given).all():
            return None
        return self._canonicaliser.key(given)

    def keys(self, given: Sequence[NDArray[Any]]) -> Sequence[bytes | None]:
        if self._schema.missing:
            return [self.key(row) for row in given]
        return self._canonicaliser.keys(np.concatenate(given).reshape(len(given), -1))

    def run(self, given: NDArray[Any]) -> Outputs:
        runner = self._model.row_runner()
        if runner is None:
            return self._model.run({self._tensor: given[None]})
        return runner.run(given)

    def values(self, given: NDArray[Any]) -> tuple[Any, ...]:
        return tuple(_plain(value) for value in given.tolist())

    def columns(self, given: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(given).reshape(len(given), -1).T


class FeedInputs:
    """Everything else: ``given`` is a feed with a batch of one."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        self._schema = schema
        self._model = model
        self._canonicaliser = canonicaliser if schema.columns else None

    def check(self, x: Any) -> Feed:
        return self._schema.row(x)

    def key(self, given: Feed) -> bytes | None:
        return self._canonicaliser.feed_key(given) if self._canonicaliser else None

    def keys(self, given: Sequence[Feed]) -> Sequence[bytes | None]:
        return [self.key(feed) for feed in given]

    def run(self, given: Feed) -> Outputs:
        return self._model.run(given)

    def values(self, given: Feed) -> tuple[Any, ...]:
        cells = [given[c.tensor][0, c.index] for c in self._schema.columns]
        return tuple(_plain(x.item() if isinstance(x, np.generic) else x) for x in cells)

    def columns(self, given: Sequence[Feed]) -> Sequence[Any]:
        rows = [self.values(feed) for feed in given]
        return list(zip(*rows, strict=True))


def _plain(value: Any) -> Any:
    return None if value != value else value  # NaN does not travel


def inputs_for(release: Release, model: Model) -> Inputs:
    """The way in for ``release``."""
    signature = release.manifest.signature
    missing = release.manifest.training.get("missing") == "allowed"
    schema = InputSchema(signature, missing=missing)
    cls = DenseInputs if schema.dense else FeedInputs
    return cls(schema, model, Canonicaliser(signature))
