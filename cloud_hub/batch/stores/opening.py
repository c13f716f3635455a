"""The stores of a hub: by what its jobs write, and by its database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.batch.stores.store import Store

FOLDER: Final = "predictions"
"""In the hub's data."""


def open_store(output: Literal["sql", "parquet"], data: Path, engine: Engine | None) -> Store:
    """Return the store of what a job writes.

    Args:
        output: of the job.
        data: the hub's folder.
        engine: of the hub's database, where that is PostgreSQL.
    """
    folder = data / FOLDER
    if output == "parquet":
        from cloud_hub.batch.stores.parquet_store import ParquetStore

        return ParquetStore(folder)
    if engine is not None:
        from cloud_hub.batch.stores.postgres_store import PostgresStore

        return PostgresStore(engine)
    from cloud_hub.batch.stores.sqlite_store import SqliteStore

    return SqliteStore(folder)
