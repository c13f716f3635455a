"""The part of a device's state that is about one model.

The database is one, so that a change of one model's state and the message that tells of it are one
transaction. Names of values, rows and the folder are each model's own: what one model's update
writes or removes is never another's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_sdk.state_db import StateDatabase
    from edge_sdk.system.state_transaction import StateTransaction


class ModelState:
    """Values of one model in the device's database.

    Attributes:
        model: its name.
        shared: the database, with what is the device's.
        folder: for the model's releases and packs, below the state folder; it need not be there.
    """

    def __init__(self, shared: StateDatabase, model: str) -> None:
        self.shared = shared
        self.model = model
        self.folder: Path = shared.folder / "models" / model

    @property
    def on_disk(self) -> bool:
        """Return whether what is stored outlives the process."""
        return self.shared.on_disk

    def transaction(self) -> AbstractContextManager[StateTransaction]:
        """Begin a write transaction of the database, or join the one of this thread."""
        return self.shared.transaction()

    def get(self, name: str) -> Any:
        """Return the JSON value under ``name``, or ``None``."""
        return self.shared.get(self._own(name))

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value under ``name``."""
        self.shared.put(self._own(name), value)

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Return the rows of a SELECT."""
        return self.shared.query(sql, *arguments)

    def _own(self, name: str) -> str:
        # No name of a model has a slash.
        return f"models/{self.model}/{name}"
