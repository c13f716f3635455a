"""The errors that the hub raises on purpose, and the HTTP status of each.

::

    HubFault           root; 400
    ├── Invalid        a request that cannot be understood; 422
    │   └── Implausible    a device claims what cannot be; carries the kind of its flag
    ├── Forbidden      no token, a wrong one, or one for something else; 401
    ├── NotFound       nothing has that name; 404
    ├── Conflict       the request contradicts what is there already; 409
    │   └── GateRefused  the offline gate refuses; carries its table
    └── TooLarge       above a limit; 413
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Row = Mapping[str, Any]
"""One row of a table, as JSON."""

FlagKind = Literal["arm", "counts", "clock"]
"""Kinds of flags of devices.

``arm``: spoke for an arm that no plan gave it. ``counts``: reported more than it can have counted,
or sums that contradict each other. ``clock``: its windows are of before it could have them, so its
clock is wrong or it lies.
"""


class HubFault(Exception):
    """Root of the hub's errors; ``status`` is the HTTP status."""

    status = 400

    def as_json(self) -> Row:
        """Return the body of the answer."""
        return {"error": str(self)}


class Invalid(HubFault):
    """A request that cannot be understood; says what was expected and what was received."""

    status = 422


class Implausible(Invalid):
    """A device claims what it cannot have done; ``kind`` is that of its flag."""

    def __init__(self, message: str, kind: FlagKind) -> None:
        super().__init__(message)
        self.kind = kind


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
