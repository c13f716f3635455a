"""Checked inputs in two forms: a dense row of one dtype, or tensors by name.

Invariant: what :meth:`Inputs.recorded` returns is not shared with the application. Tensors of a
feed without named features may be: who keeps them longer than the call copies them.
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
    """Operations of serving and monitoring on the inputs of one release.

    A *checked input* is the value that :meth:`check` returns; its type depends on the release.
    """

    def check(self, x: Any) -> Any:
        """Return the checked input; raises :class:`InputError`."""

    def recorded(self, checked: Any) -> Any:
        """Return the part that monitoring records; ``None`` for tensors without named features."""

    def key(self, checked: Any) -> bytes | None:
        """Return its exact key, or ``None`` if it has none."""

    def marks(self, checked: Sequence[Any]) -> Sequence[bytes | None]:
        """Return a cheap stand-in per input, equal for equal inputs; ``None`` if there is none.

        Monitoring counts marks, and hashes only those that turn out to be frequent.
        """

    def key_of_mark(self, mark: bytes) -> bytes | None:
        """Return the exact key of the inputs with that mark."""

    def run(self, checked: Any, state: Feed) -> Outputs:
        """Run the model on a batch of one; ``state`` holds the recurrent inputs."""

    def values(self, checked: Any) -> tuple[Any, ...]:
        """Return its feature values for the wire, in column order: numbers, 0 or 1 for booleans,
        and texts; ``None`` for a missing one.
        """

    def columns(self, checked: Sequence[Any]) -> Any:
        """Return one sequence of values per feature, over several inputs."""


class DenseInputs:
    """Rows of one dtype; a checked input is the row's bytes in the input tensor's dtype."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        assert schema.dense is not None
        self._schema = schema
        self._model = model
        self._tensor = schema.dense.name
        self._dtype = np.dtype(schema.dense.dtype)
        self._may_miss = schema.missing and self._dtype.kind == "f"
        self._canonicaliser = canonicaliser

    def check(self, x: Any) -> bytes:
        return self._schema.row(x)[self._tensor].tobytes()

    def recorded(self, checked: bytes) -> bytes:
        return checked

    def key(self, checked: bytes) -> bytes | None:
        if self._may_miss and not np.isfinite(self._row(checked)).all():
            return None
        return self._canonicaliser.key(checked)

    def marks(self, checked: Sequence[bytes]) -> Sequence[bytes | None]:
        return checked

    def key_of_mark(self, mark: bytes) -> bytes | None:
        return self.key(mark)

    def run(self, checked: bytes, state: Feed) -> Outputs:
        return self._model.run({self._tensor: self._row(checked)[None]})

    def values(self, checked: bytes) -> tuple[Any, ...]:
        return tuple(_plain(value) for value in self._row(checked).tolist())

    def columns(self, checked: Sequence[bytes]) -> NDArray[Any]:
        return np.frombuffer(b"".join(checked), self._dtype).reshape(len(checked), -1).T

    def _row(self, checked: bytes) -> NDArray[Any]:
        return np.frombuffer(checked, self._dtype)


class FeedInputs:
    """Inputs of all other releases; a checked input is a feed with a batch of one."""

    def __init__(self, schema: InputSchema, model: Model, canonicaliser: Canonicaliser) -> None:
        self._schema = schema
        self._model = model
        self._canonicaliser = canonicaliser if schema.columns else None

    def check(self, x: Any) -> Feed:
        return self._schema.row(x)

    def recorded(self, checked: Feed) -> Feed | None:
        return checked if self._schema.columns else None

    def key(self, checked: Feed | None) -> bytes | None:
        return self._canonicaliser.feed_key(checked) if self._canonicaliser and checked else None

    def marks(self, checked: Sequence[Feed | None]) -> Sequence[bytes | None]:
        return [self.key(feed) for feed in checked]

    def key_of_mark(self, mark: bytes) -> bytes | None:
        return mark

    def run(self, checked: Feed, state: Feed) -> Outputs:
        return self._model.run({**checked, **state})

    def values(self, checked: Feed | None) -> tuple[Any, ...]:
        return tuple(int(x) if isinstance(x, bool) else x for x in self._cells(checked))

    def columns(self, checked: Sequence[Feed | None]) -> Sequence[Any]:
        rows = [self._cells(feed) for feed in checked]
        return list(zip(*rows, strict=True))

    def _cells(self, checked: Feed | None) -> tuple[Any, ...]:
        if checked is None:
            return ()
        cells = [checked[c.tensor][0, c.index] for c in self._schema.columns]
        return tuple(_plain(x.item() if isinstance(x, np.generic) else x) for x in cells)


def _plain(value: Any) -> Any:
    return None if value != value or value == MISSING_TEXT else value  # NaN does not travel


def inputs_for(schema: InputSchema, model: Model) -> Inputs:
    """Return the inputs of the release that ``schema`` and ``model`` belong to."""
    cls = DenseInputs if schema.dense else FeedInputs
    return cls(schema, model, Canonicaliser(schema.signature))
