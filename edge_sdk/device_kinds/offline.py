"""A device without a hub, which in a forked child sleeps until it is used."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.serving_terms import Personalisation, Reporting
from edge_sdk.device import CLOSE_SECONDS, EdgeDevice
from edge_sdk.errors import InputError, ReleaseError, StateError, reason_of
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.fleet.unit_places import UnitPlaces
from edge_sdk.serving.opening import OfflineFiles, opened_prior, opened_release
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.system.files import make_folder
from edge_sdk.system.operating_system import (
    FolderInUse,
    FolderLock,
    keep_for_ever,
    lock_folder,
)
from edge_sdk.telemetry.energy import energy_use
from edge_sdk.validation import path_of

if TYPE_CHECKING:
    from edge_sdk.telemetry.meters import Meter

OFFLINE: Final = ServingTerms(reporting=Reporting(votes=0))
"""Terms of the release on a device without a hub: nobody collects votes for frequent inputs."""

LOCAL_BOOT: Final = "local"
"""First part of prediction ids on a device without a hub, whose ids need not differ elsewhere."""


class OfflineDevice(EdgeDevice):
    """Device without a hub; see :meth:`EdgeDevice.offline`."""

    def __init__(
        self, folders: Sequence[str | Path], files: OfflineFiles, terms: ServingTerms,
        config: DeviceConfig, energy: Meter | None, clock: Callable[[], float],
        boot: str = LOCAL_BOOT, units: str | Path | None = None,
    ) -> None:  # fmt: skip
        # EdgeDevice.__init__ would enrol. Threads are for whoever opens it to start: a device that
        # wakes in a child takes over what another one opened, which must not be called at a fork.
        _check_offline(folders, files)
        self._units = None if units is None else path_of("units", units, StateError)
        self._units_lock = None if self._units is None else _locked(self._units)
        # The health file is that of the process that opened the device, not of its children.
        again = (folders, files, terms, replace(config, health_file=""), energy, clock)
        self._again = functools.partial(OfflineDevice, *again)
        try:
            self._assemble(config, energy_use(energy), clock, boot)
            for folder in folders:
                self._open(folder, files, terms)
            self._choose(None)
        except BaseException:
            self._released()  # or the next try would find its folder of units in use
            raise

    def _open(self, folder: str | Path, files: OfflineFiles, terms: ServingTerms) -> None:
        release = opened_release(folder, self._config)
        name = release.manifest.model
        if name in self._models:
            raise StateError(f"{folder}: there is a release of {name} already; give one of each")
        model = self._made(name)
        self._add(model)
        service = model._service
        pack, features, entities = files.opened(release)
        service.use_sessions(files.opened_sessions(self._clock))
        prior = opened_prior(files.prior, release)
        if prior is not None:
            terms = replace(terms, personalise=terms.personalise or Personalisation())
        serving = service.open(
            release, terms, pack=pack, features=features, prior=prior, attributes={}
        )
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

    def _unit_places(self, name: str) -> UnitPlaces:
        return UnitPlaces() if self._units is None else UnitPlaces(self._units / name, self._units)

    def _released(self) -> None:
        if (lock := self._units_lock) is not None:
            self._units_lock = None
            lock.close()

    def _after_fork(self) -> None:
        """Become, in a forked child, a device that opens the same files again when it is used, and
        so with its models, which the application may hold.
        """
        again, threads, models = self._again, bool(self._repeaters), list(self._models)
        keep_for_ever([self.__dict__, *(model.__dict__ for model in models)])
        self.__class__ = DormantDevice
        asleep = {"_again": again, "_threads": threads, "_asleep": models}
        self.__dict__ = {**asleep, "_waking": threading.RLock()}
        for model in models:
            name = model.name
            model.__class__ = DormantModel
            model.__dict__ = {"_device": self, "name": name}


class DormantDevice(OfflineDevice):
    """Device without a hub in a forked child, where it has no threads yet. Many children never use
    what they inherit, so it opens its files, and gets a session of its own, at the first use.
    """

    def __getattribute__(self, name: str) -> Any:
        if type(self) is DormantDevice and name in ("close", "_remote"):
            return object.__getattribute__(self, name)
        _wake(self)
        return getattr(self, name)

    @property
    def _remote(self) -> DormantDevice:  # type: ignore[override]
        return self  # close() that was kept across a fork, as atexit does, closes this instead

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Nothing is open yet."""


class DormantModel(DeviceModel):
    """One model of a dormant device, which its first use wakes."""

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        _wake(own["_device"])
        if type(self) is DormantModel:  # its folder now holds another model
            return getattr(own["_device"].model(own["name"]), name)
        return getattr(self, name)


def _wake(device: DormantDevice) -> None:
    own = object.__getattribute__(device, "__dict__")
    with own["_waking"]:
        if type(device) is not DormantDevice:
            return
        boot = f"{LOCAL_BOOT}.{os.getpid()}"  # ids differ from those of other children
        opened = own["_again"](boot=boot)
        for model in own["_asleep"]:
            name = object.__getattribute__(model, "__dict__")["name"]
            if name in opened._models:
                opened._models.replace(model, opened._models[name])
        own.update(vars(opened))
        object.__setattr__(device, "__class__", OfflineDevice)
        device._start_threads(background=own["_threads"])


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


def _locked(units: Path) -> FolderLock:
    """Return the lock on the folder of units; raises StateError where another process has it."""
    try:
        make_folder(units)
        return lock_folder(units)
    except FolderInUse:
        raise StateError(f"{units}: another process keeps what it learns of units there") from None
    except OSError as error:
        raise StateError(
            f"{units}: cannot keep what is learned of units there; {reason_of(error)}"
        ) from error


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
