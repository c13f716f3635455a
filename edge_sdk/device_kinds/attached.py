"""A device that another process runs, and its models.

A device with a hub becomes one in a forked child: it belongs to the process that opened it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from edge_sdk.device import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.processes.attached import RemoteCalls, RemoteModelCalls
from edge_sdk.processes.client import OwnerClient
from edge_sdk.system.operating_system import keep_for_ever
from edge_sdk.validation import check_model_name

_TAKEN_BEFORE_A_FORK: Final = (
    "this method was taken before the process forked: take it again, as device.predict; the device "
    "itself is attached to the process that opened it"
)


def attach_child(device: EdgeDevice, state: Path) -> None:
    """Make of the parent's ``device``, in a forked child, one that is attached to the parent, and
    so of its models, which the application may hold.
    """
    # Threads, locks and the database are the parent's: nothing of them is used or freed here.
    models, client = list(device._models), OwnerClient(state)
    keep_for_ever([device.__dict__, *(model.__dict__ for model in models)])
    for model in models:
        model.__class__ = AttachedModel
        model.__dict__ = vars(AttachedModel(client, model.name))
    device.__class__ = AttachedDevice
    device.__dict__ = {"_remote": client, "_found": {model.name: model for model in models}}


class AttachedDevice(RemoteCalls, EdgeDevice):
    """Device that another process runs; see :meth:`EdgeDevice.attach`."""

    _found: dict[str, DeviceModel]

    def __init__(self, state: str | Path, timeout: float) -> None:
        self._attach(state, timeout)
        self._found = {}

    def model(self, name: str) -> DeviceModel:
        """Return one of the models on this device; see :meth:`EdgeDevice.model`."""
        check_model_name(name)
        if name not in self._found:
            model = AttachedModel(self._owner_client, name)
            model.status()  # the owner refuses one that is not there
            self._found[name] = model
        return self._found[name]

    def join(
        self, model: str, token: str | None = None, *, serial: str | None = None
    ) -> DeviceModel:
        """Join the fleet of one more model; see :meth:`EdgeDevice.join`."""
        return self.model(self._call("join", model=model, token=token, serial=serial))

    def __getattr__(self, name: str) -> Any:
        # What a method of the parent's device would use, had somebody kept it across a fork.
        if name in ("_service", "_link", "_models"):
            raise StateError(_TAKEN_BEFORE_A_FORK)
        raise AttributeError(name)


class AttachedModel(RemoteModelCalls, DeviceModel):
    """One model of a device that another process runs; :meth:`EdgeDevice.model` returns it.

    Args:
        client: asks that process.
        name: of the model.
    """

    def __init__(self, client: OwnerClient, name: str) -> None:
        self._remote = client
        self.name = self._called = name

    @property
    def serves(self) -> bool:
        """Return whether a release answers."""
        return self.status()["version"] is not None

    def __repr__(self) -> str:
        return f"<DeviceModel {self.name} attached to {self._owner_client.folder}>"

    def __getattr__(self, name: str) -> Any:
        if name == "_service":  # of a method, or a stream, that was kept across a fork
            raise StateError(_TAKEN_BEFORE_A_FORK)
        raise AttributeError(name)
