"""What late feedback on answers by entity is held against: classes, and the lists that were shown.

Such answers are of another model than the release's, so that neither its classes nor its kind of
answer say what a label may be.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import InputError
from edge_sdk.model.prediction import RankedItems
from edge_sdk.telemetry.label_check import LabelCheck
from edge_sdk.validation import is_number

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label

LISTS: Final = 16_384
"""Lists that may still be clicked on; older ones are forgotten."""

_SEPARATOR: Final = "\0"


class EntityFeedback:
    """Written to under the lock of a release's monitor, and read by anybody."""

    def __init__(self) -> None:
        self._labels = LabelCheck()
        # One text a list: tuples of texts would take five times the memory.
        self._lists: OrderedDict[int, str] = OrderedDict()

    def use(self, classes: tuple[Label, ...], *, several: bool) -> None:
        """Hold labels against what the answers of a pack are.

        Args:
            classes: of the model that answered; none for numbers and lists.
            several: each answer gives any number of them.
        """
        self._labels = LabelCheck(classes, several)

    def keep(self, numbers: Iterable[int], values: Iterable[Any]) -> None:
        """Remember the lists among the values of predictions.

        Args:
            numbers: of N predictions.
            values: of the same.
        """
        for number, value in zip(numbers, values, strict=True):
            if isinstance(value, RankedItems):
                self._lists[number] = _SEPARATOR.join(value.items)
        while len(self._lists) > LISTS:
            self._lists.popitem(last=False)

    def items(self, number: str) -> tuple[str, ...] | None:
        """Return the list that a prediction gave; ``None`` if it is none, or was forgotten."""
        joined = self._lists.get(int(number)) if is_number(number) else None
        return None if joined is None else tuple(joined.split(_SEPARATOR) if joined else ())

    def labels_of(self, number: str) -> LabelCheck:
        """Return what labels of a prediction may be; raises InputError if it is a list."""
        if self.items(number) is not None:
            raise InputError("label", f"prediction {number}: a list takes clicks or a reward")
        return self._labels
