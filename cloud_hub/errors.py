"""Every error that the hub raises on purpose, and what each is in HTTP.

::

    HubFault           root; 400
    ├── Invalid        a request that means nothing; 422
    ├── Forbidden      no token, a wrong one, or one for something else; 401
    ├── NotFound       nothing has that name; 404
    ├── Conflict       it contradicts what is there already; 409
    │   └── GateRefused  the offline gate says no; carries its table
    └── TooLarge       above a limit; 413
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class HubFault(Exception):
    """Root of the hub's errors; ``status`` is the HTTP status."""

    status = 400

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": str(self)}


class Invalid(HubFault):
    """A request that means nothing: what was expected, what came."""

    status = 422


class Forbidden(HubFault):
    """No token, a wrong one, or one for something else."""

    status = 401


class NotFound(HubFault):
    """Nothing has that name."""

    status = 404


class Conflict(HubFault):
    """It contradicts what is there already."""

    status = 409


class GateRefused(Conflict):
    """The offline gate refuses a candidate; ``table`` has a row for each check."""

    def __init__(self, message: str, table: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.table = list(table)

    def as_json(self) -> dict[str, Any]:
        """The body of the answer, with the table."""
        return {"error": str(self), "gate": self.table}


class TooLarge(HubFault):
    """Above a limit."""

    status = 413
