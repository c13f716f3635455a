"""The errors that the hub raises on purpose, and the HTTP status of each.

::

    HubFault           root; 400
    ├── Invalid        a request that cannot be understood; 422
    │   └── Implausible  a device claims what cannot be; carries the kind of its flag
    ├── Unauthenticated  no token, credential or signature, or a wrong one; 401
    ├── Forbidden      known, but not allowed this; 403
    │   └── IdentityStopped  a device that is pending, revoked or cloned
    ├── NotFound       nothing has that name; 404
    ├── Conflict       the request contradicts what is there already; 409
    │   └── GateRefused  the offline gate refuses; carries its table
    ├── ProtocolRefusal  a request of an inference protocol; carries the protocol's own status
    ├── TooLarge       above a limit; 413
    ├── TooSlow        a body that drips; 408
    ├── TooManyRequests  above a rate; 429, with the seconds to wait
    └── Unavailable    the hub cannot do it now, and can later; 503, with the seconds to wait
        ├── LeadershipLost  background work of a worker that leads no more
        └── EngineUnavailable  what computes elsewhere cannot be reached
"""

from __future__ import annotations

import math
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

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer, besides those that every answer has."""
        return {}

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


class Unauthenticated(HubFault):
    """No token, credential or signature, or a wrong one.

    Args:
        message: what was expected.
        standing: ``unknown`` if it is a device that this hub does not know (any more).
        guess: it could be a guess at a secret, and counts as one. A device's credential is none: it
            is random, and every honest one expires.
    """

    status = 401

    def __init__(self, message: str, standing: str | None = None, *, guess: bool = True) -> None:
        super().__init__(message)
        self.standing = standing
        self.guess = guess and standing is None

    @property
    def headers(self) -> Mapping[str, str]:
        """Say how to authenticate, as HTTP wants it with every 401."""
        return {"WWW-Authenticate": 'Bearer realm="edge-hub"'}

    def as_json(self) -> Row:
        """Return the body of the answer, with the standing if there is one."""
        standing = {"standing": self.standing} if self.standing is not None else {}
        return {"error": str(self), **standing}


class Forbidden(HubFault):
    """Somebody whom the hub knows asks for what they may not have."""

    status = 403


class IdentityStopped(Forbidden):
    """A device that the hub knows, and does not serve: ``pending``, ``revoked`` or ``cloned``."""

    def __init__(self, message: str, standing: str) -> None:
        super().__init__(message)
        self.standing = standing

    def as_json(self) -> Row:
        """Return the body of the answer, with the standing by which devices know what to do."""
        return {"error": str(self), "standing": self.standing}


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


class ProtocolRefusal(HubFault):
    """A request of an inference protocol that is not answered; ``status`` is the protocol's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(HubFault):
    """Above a limit."""

    status = 413


class TooSlow(HubFault):
    """A body that drips."""

    status = 408


class TooManyRequests(HubFault):
    """Above a rate; in ``seconds`` the next one is taken."""

    status = 429

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """Say when to come again, in whole seconds."""
        return {"Retry-After": str(max(1, math.ceil(self.seconds)))}


class Unavailable(HubFault):
    """What the hub needs is away, such as its database; ask again in ``seconds``."""

    status = 503

    def __init__(self, message: str, seconds: float = 2.0) -> None:
        super().__init__(message)
        self.seconds = seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """Say when to come again, in whole seconds."""
        return {"Retry-After": str(max(1, math.ceil(self.seconds)))}


class LeadershipLost(Unavailable):
    """Another worker leads by now; what this one was about to write is not written."""


class EngineUnavailable(Unavailable):
    """The engine that computes elsewhere cannot be reached, or went away: wait and try again."""
