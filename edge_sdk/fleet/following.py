"""What is done on a device as the plan of one of its models is followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.update.slots import Slot


@dataclass(frozen=True)
class Following:
    """Calls that bring into service what came.

    Attributes:
        activate: makes a slot serve; raises :class:`EdgeError`.
        on_plan: called after every plan that was fetched.
        use_entities: answers entities from a pack from now on, or from none.
    """

    activate: Callable[[Slot], None]
    on_plan: Callable[[], None]
    use_entities: Callable[[EntityPredictions | None], None]
