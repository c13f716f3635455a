"""Two shapes of checked input: a dense row of one dtype, or tensors by name.

Invariant: what :meth:`Inputs.check` returns is not shared with the application.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.schema import MISSING_TEXT, InputSchema

if TYPE_CHECKING:
    from edge_sdk.model.release import Feed
    from edge_sdk.model.session import Model, Outputs


class Inputs(Protocol):
    """What serving and monitoring need to do with an application's input."""

    def check(self, x: Any) -> Any:
        """The checked input, not shared with the caller; raises :class:`InputError`."""

    def kept(self, given: Any) -> Any:
        """What monitoring keeps of it: ``None`` for tensors without named features."""

    def key(self, given: Any) -> bytes | None:
        """Its exact key, or ``None`` where it has none."""

    def marks(self, given: Sequence[Any]) -> Sequence[bytes | None]:
        """What stands for each input: equal for equal inputs, cheap; ``None`` where nothing is."""

    def key_of_mark(self, mark: bytes) -> bytes | None:
        """The exact key of an input with that mark."""

    def run(self, given: Any, state: Feed) -> Outputs:
        """The model's outputs with a batch axis of one; ``state`` holds the recurrent inputs."""

    def values(self, given: Any) -> tuple[Any, ...]:
        """Its feature values as they travel, in column order: numbers, 0 and 1 for truth values,
        and texts; ``None`` where one is missing.
        """

    def columns(self, given: Sequence[Any]) -> Any:
        """One sequence of values per feature, over several inputs."""


class DenseInputs:
    """Rows of one dtype: ``given`` is a row's bytes in the input tensor's dtype."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        assert schema.dense is not None
        self._schema = schema
        self._model = model
        self._tensor = schema.dense.name
        self._dtype = np.dtype(schema.dense.dtype)
        self._may_lack = schema.missing and self._dtype.kind == "f"
        self._canonicaliser = canonicaliser

    def check(self, x: Any) -> bytes:
        return self._schema.row(x)[self._tensor].tobytes()

    def kept(self, given: bytes) -> bytes:
        return given

    def key(self, given: bytes) -> bytes | None:
        if self._may_lack and not np.isfinite(self._row(given)).all():
            return None
        return self._canonicaliser.key(given)

    def marks(self, given: Sequence[bytes]) -> Sequence[bytes | None]:
        return given

    def key_of_mark(self, mark: bytes) -> bytes | None:
        return self.key(mark)

    def run(self, given: bytes, state: Feed) -> Outputs:
        return self._model.run({self._tensor: self._row(given)[None]})

    def values(self, given: bytes) -> tuple[Any, ...]:
        return tuple(_plain(value) for value in self._row(given).tolist())

    def columns(self, given: Sequence[bytes]) -> NDArray[Any]:
        return np.frombuffer(b"".join(given), self._dtype).reshape(len(given), -1).T

    def _row(self, given: bytes) -> NDArray[Any]:
        return np.frombuffer(given, self._dtype)


class FeedInputs:
    """Everything else: ``given`` is a feed with a batch of one."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        self._schema = schema
        self._model = model
        self._canonicaliser = canonicaliser if schema.columns else None

    def check(self, x: Any) -> Feed:
        return self._schema.row(x)

    def kept(self, given: Feed) -> Feed | None:
        return given if self._schema.columns else None

    def key(self, given: Feed | None) -> bytes | None:
        return self._canonicaliser.feed_key(given) if self._canonicaliser and given else None

    def marks(self, given: Sequence[Feed | None]) -> Sequence[bytes | None]:
        return [self.key(feed) for feed in given]

    def key_of_mark(self, mark: bytes) -> bytes | None:
        return mark

    def run(self, given: Feed, state: Feed) -> Outputs:
        return self._model.run({**given, **state})

    def values(self, given: Feed | None) -> tuple[Any, ...]:
        return tuple(int(x) if isinstance(x, bool) else x for x in self._cells(given))

    def columns(self, given: Sequence[Feed | None]) -> Sequence[Any]:
        rows = [self._cells(feed) for feed in given]
        return list(zip(*rows, strict=True))

    def _cells(self, given: Feed | None) -> tuple[Any, ...]:
        if given is None:
            return ()
        cells = [given[c.tensor][0, c.index] for c in self._schema.columns]
        return tuple(_plain(x.item() if isinstance(x, np.generic) else x) for x in cells)


def _plain(value: Any) -> Any:
    return None if value != value or value == MISSING_TEXT else value  # NaN does not travel


def inputs_for(schema: InputSchema, model: Model) -> Inputs:
    """The way in for the release that ``schema`` and ``model`` belong to."""
    cls = DenseInputs if schema.dense else FeedInputs
    return cls(schema, model, Canonicaliser(schema.signature))
