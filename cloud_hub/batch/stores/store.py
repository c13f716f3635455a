"""What every store of predictions promises, so that a kill at any moment loses nothing.

Invariants:

* A part is written whole or not at all, and its mark with it: whoever goes on after a kill asks
  :meth:`Store.done` and writes the others. A part that is written again replaces nothing.
* Nothing of a generation can be read by :meth:`Store.find` before :meth:`Store.complete` has
  returned, and all of it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from cloud_hub.batch.layout import Layout


@dataclass(frozen=True)
class Stamp:
    """What all rows of a generation have in common.

    Attributes:
        id: number of the generation.
        model: whose entities are answered.
        job: name in the model's policy.
        version: that answered, as ``MODEL MAJOR.MINOR``.
        computed_at: Unix seconds.
        valid_until: Unix seconds.
    """

    id: int
    model: str
    job: str
    version: str
    computed_at: float
    valid_until: float


class Store(Protocol):
    """Tables of one kind, one for each generation; see the module for what holds.

    A generation is named by its ``place``: ``MODEL/JOB/ID``. ``several`` parts of one may be
    written at once, or only one after the other.
    """

    several: bool

    def begin(self, place: PurePosixPath, layout: Layout) -> None:
        """Make the table, unless it is there."""

    def done(self, place: PurePosixPath) -> Mapping[int, int]:
        """Return the number of rows of each part that is whole, by its number."""

    def write(
        self, place: PurePosixPath, layout: Layout, part: int, batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Write one part and its mark; return its rows.

        Args:
            place: of the generation; begun.
            layout: of its table.
            part: its number, of one that is not done.
            batches: rows as the layout has them.

        Raises:
            HubFault: the disk or the database does not take it.
        """

    def complete(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Let the whole be read; may be repeated.

        Raises:
            Invalid: an entity is there twice.
        """

    def show(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Put a generation that is complete before those who look at the newest."""

    def read(
        self, place: PurePosixPath, layout: Layout, columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a complete generation, at most ``rows`` at a time.

        Args:
            place: of the generation.
            layout: of its table.
            columns: of the layout.
            rows: at most in one batch.

        Raises:
            NotFound: it is not complete, or was dropped.
        """

    def find(self, place: PurePosixPath, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of some entities, by entity; each a dict by column.

        Raises:
            NotFound: the generation is not complete, or was dropped.
            Conflict: this store keeps files that nothing can be looked up in.
        """

    def file(self, place: PurePosixPath) -> Path | None:
        """Return the SQLite file of a complete generation, where it is kept in one."""

    def drop(self, place: PurePosixPath) -> None:
        """Remove what there is of a generation; may be repeated."""
