"""Floors below which signed metadata is refused, each bound to the keys that raised it. Pure.

A floor keeps what is old from coming back: a version, the serial of a plan, a release counter, the
newest signed time. Whoever steals a key can raise floors beyond what the rightful owner will ever
reach; replacing that key must take back what it did (The Update Framework, 5.3.11). Invariants:

* A floor stands while the keys that raised it could still sign for their role: while at least the
  role's threshold of them are among the role's keys. Nothing else clears it: no expiry, no clock,
  no empty cache, no key that is added.
* The keys of a role come from the newest root, or from targets that it vouches for. So clearing a
  floor takes a threshold of offline keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

ROLE_OF: Final[Mapping[str, str]] = MappingProxyType(
    {"time": "timestamp", "serial": "plans", "release": "releases"}
)
"""Roles that vouch for floors which are no version of a role."""

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
    """The least value that is accepted, and the ids of the keys that signed it."""

    value: int
    keys: frozenset[str]


class Floors:
    """The floors of one device, as the keys of today leave them standing.

    A name has one floor for each set of keys that signed for it, so that what an older key
    vouched for stands when a newer one is revoked; the highest counts.

    Args:
        floors: by name: a role for its version, or a name in :data:`ROLE_OF`.
        vouchers: by role. A floor whose role is not here stands: nobody revoked its keys.
    """

    def __init__(
        self, floors: Mapping[str, Sequence[Floor]], vouchers: Mapping[str, Voucher]
    ) -> None:
        self._vouchers = vouchers
        self._floors = {
            name: [floor for floor in raised if self._stands(name, floor)]
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
        signers = self._vouchers[ROLE_OF.get(name, name)].signers
        raised = self._floors.get(name, [])
        before = max((f.value for f in raised if f.keys == signers), default=0)
        others = [floor for floor in raised if floor.keys != signers]
        # The newest sets of keys suffice: a role has one or two at a time.
        self._floors[name] = [*others, Floor(max(before, value), signers)][-SETS:]

    def to_json(self) -> dict[str, Any]:
        """Return the floors as plain JSON."""
        return {
            name: [{"value": f.value, "keys": sorted(f.keys)} for f in raised]
            for name, raised in self._floors.items()
        }

    def _stands(self, name: str, floor: Floor) -> bool:
        voucher = self._vouchers.get(ROLE_OF.get(name, name))
        return voucher is None or len(floor.keys & voucher.keys) >= voucher.threshold


def stored_floors(plain: Any) -> dict[str, list[Floor]]:
    """Return the floors of :meth:`Floors.to_json`; none for ``None``."""
    return {
        name: [Floor(floor["value"], frozenset(floor["keys"])) for floor in raised]
        for name, raised in (plain or {}).items()
    }
