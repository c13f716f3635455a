"""The calls of an application to a device that are for all of its models."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Sequence
from typing import TYPE_CHECKING

from edge_sdk.errors import StateError
from edge_sdk.fleet.model_calls import ModelCalls

if TYPE_CHECKING:  # not needed at start; some bring requests and tuf
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.device_models import DeviceModels


class DeviceCalls(ModelCalls):
    """Calls of a device: those to its own model, and those for all of them."""

    _models: DeviceModels
    _link: FleetLink | None
    _local_reports: deque[Body]

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | Collection[Label] | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        """Report the outcome of a prediction of any of the models; each kind of outcome once.

        Args:
            prediction: id of the prediction or ranking.
            label: the true class, or the true number for a regressor; of a multilabel model the
                list of all true classes, perhaps none.
            reward: how good the outcome was; larger is better.
            clicks: items of a ranking or a precomputed list that were clicked on, perhaps none.

        Raises:
            InputError: the prediction is unknown or too old, the label is not one of the classes,
                an item was not shown, or the outcome was reported before.
        """
        store = None if self._link is None else self._link.store
        model = self._models.maker_of(str(prediction), store)
        model.feedback(prediction, label=label, reward=reward, clicks=clicks)

    def forget(self, unit: str) -> bool:
        """Delete all that any of the models has learned of a unit; see :meth:`DeviceModel.forget`.

        Args:
            unit: its name, as ``predict`` was given it.

        Returns:
            Whether there was anything.

        Raises:
            InputError: ``unit`` cannot be one.
            StateError: a disk takes no change now.
        """
        failed: StateError | None = None
        found = False
        for model in self._models:
            try:
                found = model.forget(unit) or found
            except StateError as error:  # the other models forget it all the same
                failed = error
        if failed is not None:
            raise failed
        return found

    def reports(self, *, final: bool = True) -> list[Body]:
        """Return the reports since the last call, on a device without a hub.

        Args:
            final: True to end all windows now, False to leave those that are open.

        Raises:
            StateError: the device has a hub, to which they are sent.
        """
        if self._link is not None:
            raise StateError("this device has a hub: its reports wait in the outbox for it")
        for model in self._models:
            model.collect(final=final)
        reports = list(self._local_reports)
        self._local_reports.clear()
        return reports
