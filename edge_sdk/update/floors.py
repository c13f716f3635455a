"""Floors below which signed metadata is refused, each bound to the keys that raised it. Pure.

A floor keeps what is old from coming back: a version, the serial of a plan, a release counter, the
newest signed time. Whoever steals a key can raise floors beyond what the rightful owner will ever
reach; replacing that key must take back what it did (The Update Framework, 5.3.11). Invariants:

* A floor stands while the keys that raised it could still sign for their roles: while at least a
  role's threshold of them are among that role's keys. Nothing else clears it: no expiry, no clock,
  no empty cache, no key that is added.
* The keys of a role come from the newest root, or from targets that it vouches for. So clearing a
  floor takes a threshold of offline keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

BOUND_TO: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "timestamp": ("timestamp", "snapshot"),
        "snapshot": ("timestamp", "snapshot"),
        # A snapshot lists the versions of targets, so its key can raise them too far as well.
        "targets": ("targets", "snapshot"),
        "releases": ("releases", "snapshot"),
        "plans": ("plans", "snapshot"),
        "time": ("timestamp",),
        "serial": ("plans",),
        "release": ("releases",),
    }
)
"""Roles whose keys raise a floor, by the first part of its name: a role for its version, or what
such a role says. What it says of one model is named after that too: ``serial/digits``."""

SETS: Final = 8
"""Sets of keys whose floors are remembered under one name."""


@dataclass(frozen=True)
class Voucher:
    """Keys of a role: those that it has now, and those that signed what was loaded."""

    keys: frozenset[str]
    threshold: int
    signers: frozenset[str]


@dataclass(frozen=True)
class Floor:
    """The least value that is accepted, and the ids of the keys that signed it, by role."""

    value: int
    keys: Mapping[str, frozenset[str]]


class Floors:
    """The floors of one device, as the keys of today leave them standing.

    A name has one floor for each set of keys that signed for it, so that what an older key
    vouched for stands when a newer one is revoked; the highest counts.

    Args:
        floors: by name, see :data:`BOUND_TO`; that of any other is bound to the role of its name.
        vouchers: by role. A floor whose role is not here stands: nobody revoked its keys.
    """

    def __init__(
        self, floors: Mapping[str, Sequence[Floor]], vouchers: Mapping[str, Voucher]
    ) -> None:
        self._vouchers = vouchers
        self._floors = {
            name: [floor for floor in raised if self._stands(floor)]
            for name, raised in floors.items()
        }

    def __getitem__(self, name: str) -> int:
        """Return the floor that counts; 0 where there is none."""
        return max((floor.value for floor in self._floors.get(name, ())), default=0)

    def put(self, name: str, value: int) -> None:
        """Raise a floor to what the keys of its role have just signed; a lower value is ignored.

        Args:
            name: of the floor.
            value: that is accepted from now on.
        """
        kind = name.partition("/")[0]
        roles = BOUND_TO.get(kind, (kind,))
        signers = {role: self._vouchers[role].signers for role in roles}
        raised = self._floors.get(name, [])
        before = max((f.value for f in raised if f.keys == signers), default=0)
        others = [floor for floor in raised if floor.keys != signers]
        # The newest sets of keys suffice: a role has one or two at a time.
        self._floors[name] = [*others, Floor(max(before, value), signers)][-SETS:]

    def to_json(self) -> dict[str, Any]:
        """Return the floors as plain JSON."""
        return {
            name: [
                {"value": f.value, "keys": {role: sorted(keys) for role, keys in f.keys.items()}}
                for f in raised
            ]
            for name, raised in self._floors.items()
        }

    def _stands(self, floor: Floor) -> bool:
        return all(self._could_sign(role, keys) for role, keys in floor.keys.items())

    def _could_sign(self, role: str, keys: frozenset[str]) -> bool:
        voucher = self._vouchers.get(role)
        return voucher is None or len(keys & voucher.keys) >= voucher.threshold


def stored_floors(plain: Any) -> dict[str, list[Floor]]:
    """Return the floors of :meth:`Floors.to_json`; none for ``None``."""
    return {
        name: [
            Floor(floor["value"], {role: frozenset(ids) for role, ids in floor["keys"].items()})
            for floor in raised
        ]
        for name, raised in (plain or {}).items()
    }
