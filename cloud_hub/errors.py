"""The errors that the hub raises on purpose, and the HTTP status of each.

::

    HubFault           root; 400
    ├── Invalid        a request that cannot be understood; 422
    ├── Forbidden      no token, a wrong one, or one for something else; 401
    ├── NotFound       nothing has that name; 404
    ├── Conflict       the request contradicts what is there already; 409
    │   └── GateRefused  the offline gate refuses; carries its table
    ├── TooLarge       above a limit; 413
    └── TooSlow        a body that drips; 408
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""One row of a table, as JSON."""


class HubFault(Exception):
    """Root of the hub's errors; ``status`` is the HTTP status."""

    status = 400

    def as_json(self) -> Row:
        """Return the body of the answer."""
        return {"error": str(self)}


class Invalid(HubFault):
    """A request that cannot be understood; says what was expected and what was received."""

    status = 422


class Forbidden(HubFault):
    """No token, a wrong one, or one for something else."""

    status = 401


class NotFound(HubFault):
    """Nothing has that name."""

    status = 404


class Conflict(HubFault):
    """The request contradicts what is there already."""

    status = 409


class GateRefused(Conflict):
    """The offline gate refuses a candidate; ``table`` has a row for each check."""

    def __init__(self, message: str, table: Sequence[Row]) -> None:
        super().__init__(message)
        self.table = list(table)

    def as_json(self) -> Row:
        """Return the body of the answer, with the table."""
        return {"error": str(self), "gate": self.table}


class TooLarge(HubFault):
    """Above a limit."""

    status = 413


class TooSlow(HubFault):
    """A body that drips."""

    status = 408
