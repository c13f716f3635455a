"""The models on one device: which there are, which is its own, which made a prediction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from edge_sdk.errors import EdgeError, InputError
from edge_sdk.system.logs import Log
from edge_sdk.validation import check_model_name

if TYPE_CHECKING:
    from edge_sdk.fleet.device_model import DeviceModel
    from edge_sdk.state_db import StateDatabase

_log = Log(__name__)


class DeviceModels:
    """Models by name, in the order in which they came; any thread may go through them.

    Attributes:
        own: the one that the device itself answers with; ``None`` for none.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, DeviceModel] = {}
        self.own: DeviceModel | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(self._by_name)

    def __iter__(self) -> Iterator[DeviceModel]:
        return iter(self._by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> DeviceModel:
        """Return a model; raises InputError where it is not here."""
        check_model_name(name)
        model = self._by_name.get(name)
        if model is None:
            here = ", ".join(self._by_name)
            raise InputError(
                "model",
                f"expected one of {here}, got {name!r:.60}; a device of a fleet may join another",
            )
        return model

    def add(self, model: DeviceModel) -> None:
        """Add one that is not here yet."""
        # A new dictionary: the threads that go through this one do not see it change.
        self._by_name = {**self._by_name, model.name: model}

    def replace(self, old: DeviceModel, new: DeviceModel) -> None:
        """Let ``old``, which the application may hold, be ``new`` from now on, and stand here."""
        object.__getattribute__(old, "__dict__").update(vars(new))
        object.__setattr__(old, "__class__", type(new))
        self._by_name = {**self._by_name, new.name: old}
        if self.own is new:
            self.own = old

    def choose(self, name: str | None) -> None:
        """Make a model the device's own: the one of that name, or the only one."""
        only = self.names[0] if len(self.names) == 1 else None
        chosen = only if name is None else name
        self.own = None if chosen is None else self[chosen]

    def leave(self) -> None:
        """Note that an opening that failed ends on purpose."""
        with contextlib.suppress(EdgeError):
            for model in self:
                model.leave()

    def fold(self) -> None:
        """Run one round of the telemetry thread for all; then raise what went wrong with one."""
        failure: Exception | None = None
        for model in self:
            try:
                model.fold()
            except Exception as error:  # the windows of the others are due all the same
                if failure is not None:  # one alone can be raised
                    _log.exception("%s: its telemetry failed, too", model.name)
                failure = failure or error
        if failure is not None:
            raise failure

    def maker_of(self, prediction: str, store: StateDatabase | None) -> DeviceModel:
        """Return the model that made a prediction.

        One that nobody knows is for the device's own model to refuse, or for the first.

        Args:
            prediction: its id.
            store: knows those of earlier starts; ``None`` where there is none.
        """
        made = next((model for model in self if model.made(prediction)), None)
        if made is None and store is not None and len(self.names) > 1:
            from edge_sdk.telemetry.label_store import model_of

            made = self._by_name.get(model_of(store, prediction) or "")
        return made or self.own or next(iter(self))

    def status(self) -> dict[str, Any]:
        """Return the state of each, by name; that of the own one stands beside it."""
        models = {model.name: model.status() for model in self}
        own = {} if self.own is None else models[self.own.name]
        return {**own, "models": models}

    def __repr__(self) -> str:
        shown = list(self) if self.own is None else [self.own]
        return ", ".join(map(str, shown))


class NoOwnModel:
    """Stands for the releases of a device of several models, of which none is its own.

    Args:
        models: of the device.
    """

    def __init__(self, models: DeviceModels) -> None:
        self._models = models

    def __getattr__(self, name: str) -> NoReturn:
        several = ", ".join(self._models.names)
        raise InputError(
            "model",
            f"this device has several models, {several}: say device.model(NAME), or --model NAME",
        )
