"""Lists that were shown and wait for their clicks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge_sdk.personalise.rankings.off_policy_sums import ShownChances
from edge_sdk.personalise.rankings.session_model import Floats, ScorePrior

if TYPE_CHECKING:
    from edge_sdk.personalise.units.unit_space import HeldUnit

LISTS: Final = 1_024
"""Lists that may still teach; older ones are forgotten."""

PLACES: Final = 32
"""Places of a list that may teach."""


@dataclass
class PendingList:
    """What is needed to learn from a list once its clicks come.

    ``unit`` is the store's: of one that was forgotten since, nothing is learned. ``scores`` [m] and
    ``features`` [m, d] are those of its first :data:`PLACES` places, in single precision; ``scale``
    divided the features when it was made; ``source`` is the tag of the release that scored it,
    ``clickable`` the expected chance of a click on it.
    """

    unit: HeldUnit
    source: str
    basis: bytes
    scale: float
    prior: ScorePrior
    scores: Floats
    features: Floats
    chances: ShownChances
    clickable: float
    length: int
    learnt: bool = False
    counted: bool = False


class PendingLists:
    """The last :data:`LISTS` lists, by id."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, PendingList] = OrderedDict()

    def put(self, name: str, pending: PendingList) -> None:
        """Store one, unless its unit was forgotten while it was made; the oldest one goes."""
        if pending.unit.gone:
            return
        self._lists[name] = pending
        if len(self._lists) > LISTS:
            self._lists.popitem(last=False)

    def get(self, name: str) -> PendingList | None:
        """Return a list by its id, if it is still here."""
        return self._lists.get(name)

    def forget(self, unit: str) -> bool:
        """Remove the lists of a unit; return whether there were some."""
        names = [name for name, pending in self._lists.items() if pending.unit.name == unit]
        for name in names:
            del self._lists[name]
        return bool(names)

    def clear(self) -> None:
        """Remove all."""
        self._lists.clear()
