"""The other kinds of EdgeDevice: run by another process, without a hub, asleep in a forked child.

They share the methods of :class:`edge_sdk.EdgeDevice`, whose class methods and forks make them.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.device import CLOSE_SECONDS, EdgeDevice
from edge_sdk.errors import InputError, ReleaseError, StateError
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.processes.attached import RemoteCalls, RemoteModelCalls
from edge_sdk.serving.opening import OfflineFiles, opened_release
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.system.operating_system import call_in_child, keep_for_ever
from edge_sdk.telemetry.energy import energy_use

if TYPE_CHECKING:
    from edge_sdk.processes.client import OwnerClient
    from edge_sdk.telemetry.meters import Meter

OFFLINE: Final = ServingTerms(reporting=Reporting(votes=0))
"""Terms of the release on a device without a hub: nobody collects votes for frequent inputs."""

LOCAL_BOOT: Final = "local"
"""First part of prediction ids on a device without a hub, whose ids need not differ elsewhere."""


_TAKEN_BEFORE_A_FORK: Final = (
    "this method was taken before the process forked: take it again, as device.predict; the device "
    "itself is attached to the process that opened it"
)


def attach_child(device: EdgeDevice, state: Path) -> None:
    """Make of the parent's ``device``, in a forked child, one that is attached to the parent."""
    from edge_sdk.processes.client import OwnerClient

    # Threads, locks and the database are the parent's: nothing of them is used or freed here.
    models, client = list(device._models), OwnerClient(state)
    keep_for_ever([device.__dict__, *(model.__dict__ for model in models)])
    for model in models:  # the application may hold them
        model.__class__ = AttachedModel
        model.__dict__ = vars(AttachedModel(client, model.name))
    device.__class__ = AttachedDevice
    device.__dict__ = {"_remote": client}


class AttachedDevice(RemoteCalls, EdgeDevice):
    """Device that another process runs; see :meth:`EdgeDevice.attach`."""

    def __init__(self, state: str | Path, timeout: float) -> None:
        self._attach(state, timeout)

    def model(self, name: str) -> DeviceModel:
        """Return one of the models on this device; see :meth:`EdgeDevice.model`."""
        model = AttachedModel(self._owner_client, name)
        model.status()  # the owner refuses one that is not there
        return model

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
        if name == "_service":
            raise StateError(_TAKEN_BEFORE_A_FORK)
        raise AttributeError(name)


class OfflineDevice(EdgeDevice):
    """Device without a hub; see :meth:`EdgeDevice.offline`."""

    def __init__(
        self, folders: Sequence[str | Path], files: OfflineFiles, terms: ServingTerms,
        config: DeviceConfig, energy: Meter | None, clock: Callable[[], float], background: bool,
        boot: str = LOCAL_BOOT,
    ) -> None:  # fmt: skip
        # EdgeDevice.__init__ would enrol: both end in _assemble and _start_threads instead.
        _check_offline(folders, files)
        # The health file is that of the process that opened the device, not of its children.
        again = (folders, files, terms, replace(config, health_file=""), energy, clock)
        self._again = functools.partial(OfflineDevice, *again, background)
        self._assemble(config, energy_use(energy), clock, boot)
        for folder in folders:
            self._open(folder, files, terms)
        self._choose(None)
        self._start_threads(background)

    def _open(self, folder: str | Path, files: OfflineFiles, terms: ServingTerms) -> None:
        release = opened_release(folder, self._config)
        name = release.manifest.model
        if name in self._models:
            raise StateError(f"{folder}: there is a release of {name} already; give one of each")
        service = self._add(name)._service
        pack, features, entities = files.opened(release)
        serving = service.open(release, terms, pack=pack, features=features)
        service.serve(serving)
        service.use_entities(entities)
        beside = ServingTerms("offline", "candidate", terms.reporting)
        if files.shadow is not None:
            candidate = opened_release(files.shadow, self._config)
            service.run(service.shadow(candidate, beside))
        if files.interleave is not None:
            from edge_sdk.experiments.interleaving import Interleaver

            mixed = opened_release(files.interleave, self._config)
            second = service.open(mixed, beside)
            service.run(Interleaver(beside.arm, serving, second, clock=self._clock))

    def _after_fork(self) -> None:
        """Become, in a forked child, a device that opens the same files again when it is used."""
        keep_for_ever(self.__dict__)
        again = self._again
        self.__class__ = DormantDevice
        self.__dict__ = {"_again": again, "_waking": threading.RLock()}


class DormantDevice(OfflineDevice):
    """Device without a hub in a forked child, where it has no threads yet. Many children never use
    what they inherit, so it opens its files, and gets a session of its own, at the first use.
    """

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if type(self) is DormantDevice and name in ("close", "_after_fork"):
            return object.__getattribute__(self, name)
        with own["_waking"]:
            if type(self) is DormantDevice:
                boot = f"{LOCAL_BOOT}.{os.getpid()}"  # ids differ from those of other children
                own.update(vars(own["_again"](boot=boot)))
                object.__setattr__(self, "__class__", OfflineDevice)
                call_in_child(self._after_fork)
        return getattr(self, name)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Nothing is open yet."""

    def _after_fork(self) -> None:
        """Sleep on in a child's child."""


def offline_terms(reporting: Any = None) -> ServingTerms:
    """Return the terms of the release on a device without a hub.

    Args:
        reporting: windows and limits, a :class:`Reporting`; ``None`` for those of :data:`OFFLINE`.

    Raises:
        InputError: it is none.
    """
    if reporting is None:
        return OFFLINE
    if not isinstance(reporting, Reporting):
        raise InputError("opening", f"reporting: expected Reporting(…), got {reporting!r:.60}")
    return replace(OFFLINE, reporting=replace(reporting, votes=0))


def _check_offline(folders: Sequence[str | Path], files: OfflineFiles) -> None:
    if files.shadow is not None and files.interleave is not None:
        raise StateError(
            "expected a shadow or an interleaved release, got both: one experiment at a time"
        )
    if not folders:
        raise ReleaseError("expected a release folder, got none")
    if len(folders) > 1 and any(file is not None for file in files):
        raise StateError(
            "packs, shadow and interleave belong to one release: open it alone, or several without"
        )
