"""The personal priors of one model on a device: opened with their releases, or done without.

Invariant: nothing about a prior keeps a release from serving; what is wrong with one is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_sdk.errors import PackError
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.model.release import Release
    from edge_sdk.update.slots import Slot
    from edge_sdk.update.state import SlotRef

_log = Log(__name__)


class PriorOpener:
    """Opens priors.

    Args:
        refused: called with a slot and a sentence where a prior is not for its release, once each.
    """

    def __init__(self, refused: Callable[[SlotRef, str], None]) -> None:
        self._refused = refused
        self._troubles: dict[SlotRef, str] = {}

    def trouble(self, slot: SlotRef | None) -> str | None:
        """Return why a slot is served without its prior; ``None`` if it is not."""
        return None if slot is None else self._troubles.get(slot)

    def open(
        self, slot: Slot, release: Release, damaged: Callable[[str], None]
    ) -> PersonalPrior | None:
        """Return the prior of a slot; ``None`` if it has none that fits.

        Args:
            slot: whose release is opened.
            release: of the slot.
            damaged: called with a sentence if the file is missing or damaged.
        """
        if slot.prior is None:
            return None
        # Only here: a device whose plan has no prior loads nothing of personalisation.
        from edge_sdk.personalise.prior_file import DamagedPrior, open_prior

        try:
            prior = open_prior(slot.prior, release, slot.ref.prior)
        except DamagedPrior as error:
            self._troubles[slot.ref] = str(error)
            damaged(str(error))
            return None
        except PackError as error:
            if self._troubles.get(slot.ref) != str(error):
                _log.warning("served without a personal prior: %s", error)
                self._refused(slot.ref, str(error))
            self._troubles[slot.ref] = str(error)
            return None
        self._troubles.pop(slot.ref, None)
        return prior
