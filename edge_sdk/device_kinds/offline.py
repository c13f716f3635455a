"""A device without a hub, which in a forked child sleeps until it is used."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.config import DeviceConfig, check_opening
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.device import CLOSE_SECONDS, EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.serving.opening import OfflineFiles, opened_release
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.system.operating_system import keep_for_ever
from edge_sdk.telemetry.energy import energy_use

if TYPE_CHECKING:
    from edge_sdk.telemetry.meters import Meter

OFFLINE: Final = ServingTerms(reporting=Reporting(votes=0))
"""Terms of the release on a device without a hub: nobody collects votes for frequent inputs."""

OFFLINE_CANDIDATE: Final = ServingTerms("offline", "candidate", OFFLINE.reporting)
"""Terms of a second release on a device without a hub, in a shadow or an interleaving."""

LOCAL_BOOT: Final = "local"
"""First part of prediction ids on a device without a hub, whose ids need not differ elsewhere."""


class OfflineDevice(EdgeDevice):
    """Device without a hub; see :meth:`EdgeDevice.offline`."""

    def __init__(
        self, folders: Sequence[str | Path], files: OfflineFiles, config: DeviceConfig,
        energy: Meter | None, clock: Callable[[], float], boot: str = LOCAL_BOOT,
        background: bool = True,
    ) -> None:  # fmt: skip
        # EdgeDevice.__init__ would enrol: both end in _assemble and _start_threads instead.
        self._again = functools.partial(OfflineDevice, folders, files, config, energy, clock)
        check_opening(config)
        _check_offline(folders, files)
        self._assemble(config, energy_use(energy), clock, boot)
        for folder in folders:
            self._open(folder, files)
        self._choose(None)
        if background:  # else for another one, which starts its own
            self._start_threads(background)

    def _open(self, folder: str | Path, files: OfflineFiles) -> None:
        release = opened_release(folder, self._config)
        name = release.manifest.model
        if name in self._models:
            raise StateError(f"{folder}: there is a release of {name} already; give one of each")
        service = self._add(name)._service
        pack, features, entities = files.opened(release)
        serving = service.open(release, OFFLINE, pack=pack, features=features)
        service.serve(serving)
        service.use_entities(entities)
        if files.shadow is not None:
            candidate = opened_release(files.shadow, self._config)
            service.run(service.shadow(candidate, OFFLINE_CANDIDATE))
        if files.interleave is not None:
            from edge_sdk.experiments.interleaving import Interleaver

            mixed = opened_release(files.interleave, self._config)
            candidate_ = service.open(mixed, OFFLINE_CANDIDATE)
            arm = OFFLINE_CANDIDATE.arm
            service.run(Interleaver(arm, serving, candidate_, clock=self._clock))

    def _after_fork(self) -> None:
        """Become, in a forked child, a device that opens the same files again when it is used, and
        so with its models, which the application may hold.
        """
        again, models = self._again, list(self._models)
        keep_for_ever([self.__dict__, *(model.__dict__ for model in models)])
        self.__class__ = DormantDevice
        self.__dict__ = {"_again": again, "_waking": threading.RLock(), "_asleep": models}
        for model in models:
            asleep = {"_device": self, "name": model.name}
            model.__class__ = DormantModel
            model.__dict__ = asleep


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
        opened = own["_again"](boot=boot, background=False)
        for model in own["_asleep"]:
            name = object.__getattribute__(model, "__dict__")["name"]
            if name in opened._models:
                opened._models.replace(model, opened._models[name])
        own.update(vars(opened))
        object.__setattr__(device, "__class__", OfflineDevice)
        device._start_threads(background=True)


def _check_offline(folders: Sequence[str | Path], files: OfflineFiles) -> None:
    if files.shadow is not None and files.interleave is not None:
        raise StateError(
            "expected a shadow or an interleaved release, got both: one experiment at a time"
        )
    if not folders:
        raise StateError("expected a release folder, got none")
    if len(folders) > 1 and any(file is not None for file in files):
        raise StateError(
            "packs, shadow and interleave belong to one release: open it alone, or several without"
        )
