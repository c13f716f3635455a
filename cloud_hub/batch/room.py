"""Room that batch jobs leave on the disk.

The hub's records are on the same disk: a job that filled it to the brim would stop everything else,
and could not even say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import HubFault

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

KEPT_BYTES: Final = 64 << 20


def check_room(folder: Path, needed: int) -> None:
    """Raise HubFault if so many bytes more in a folder would leave too little for the hub."""
    free = shutil.disk_usage(folder).free
    if free - needed < KEPT_BYTES:
        raise HubFault(
            f"{folder}: the disk has {free >> 20} MB free, this takes {needed >> 20} MB more, and "
            f"{KEPT_BYTES >> 20} MB are kept for the hub; free some, keep fewer generations, or "
            "compute fewer entities; the generation before stays"
        )


def with_room(batches: Iterable[pa.RecordBatch], folder: Path) -> Iterator[pa.RecordBatch]:
    """Yield batches that a folder has room for; raises HubFault at the first that it has not."""
    for batch in batches:
        check_room(folder, batch.nbytes)
        yield batch
