"""What a device may be doing when its process or its power ends: one case each.

A case moves the hub to where a device begins (``begin``), has a new device prepared there
(``prepare``), moves the hub on (``move``), brings the device to where it acts (``ready``) and has
it act (``act``). Whatever ends ``act``, and wherever it does: the device answers as before, or as
afterwards, whole; and when it acts again, it completes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_sdk import EdgeDevice
from edge_sdk.contract.plan import ReleaseRef
from edge_sdk.errors import EdgeError, ReleaseError, StateError
from tests.campaigns.harness.fleet_hub import ROWS, FleetHub
from tests.e2e.live import PATIENT

NOWHERE: Final = "http://127.0.0.1:9"
"""A hub that cannot be reached."""

NOT_ENROLLED, NO_RELEASE = "not enrolled", "no release"
SYNCS: Final = 3
"""A device completes within so many syncs after its restart; the first may find old work."""

TOUCHY = ROWS[0] * 0 + 200
"""An input on which the touchy release fails."""


@dataclass(frozen=True)
class Place:
    """A device of a case: its state folder, and how it reaches its hub."""

    state: Path
    hub: str
    token: str
    model: str

    def open(self, **changes: Any) -> EdgeDevice:
        options = {"hub": self.hub, "token": self.token, "model": self.model, **changes}
        return EdgeDevice(self.state, config=PATIENT, background=False, **options)


class Case:
    """An act of a device, and the two states of the fleet around it.

    Args:
        hub: that the device belongs to.
        model: of the device; each case has its own.
    """

    name = ""
    nothing_before = False
    """The device need not answer before ``act`` has ended."""

    def __init__(self, hub: FleetHub, model: str) -> None:
        self.hub = hub
        self.model = model
        self.token = hub.token(model)
        self.serial = 0

    def begin(self) -> None:
        """Move the hub to where devices begin."""

    def prepare(self, place: Place) -> None:
        """Bring a new device there; in a child."""
        place.open().close()

    def move(self) -> None:
        """Move the hub on."""

    def ready(self, place: Place) -> None:
        """Bring the device to where it acts; in a child, which may end itself."""

    def act(self, place: Place) -> None:
        """What is cut short; in a child."""
        _synced(place)

    def place(self, state: Path) -> Place:
        return Place(state, self.hub.url, self.token, self.model)

    def _serve(self, reference: ReleaseRef) -> None:
        self.serial = self.hub.serve(self.model, reference)


class Update(Case):
    """A new release with its pack, in one plan."""

    name = "update"

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        # Larger than a chunk of a download, so that there are several writes to be killed at.
        self.old = hub.publish(model, "1.0", 0, padding=150_000)
        self.new = hub.publish(model, "1.1", 7, padding=200_000)

    def begin(self) -> None:
        self._serve(self.old)

    def move(self) -> None:
        self._serve(self.new)


class PackDelta(Case):
    """A new pack for the release that serves, as a delta to the one before."""

    name = "pack delta"

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        self.old = hub.publish(model, "1.0", 0)
        self._serve(self.old)
        self.new = hub.publish_next_pack(model, self.old, 0)

    begin = Update.begin
    move = Update.move


class ModelDelta(Case):
    """A new release whose model is mostly that of the one before, as a delta to it."""

    name = "model delta"

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        self.old = hub.publish(model, "1.0", 0, bulk=300_000)
        self.new = hub.publish(model, "1.1", 7, bulk=300_000)

    begin = Update.begin
    move = Update.move


class Enrolment(Case):
    """A new device joins and brings its first release."""

    name = "enrolment"
    nothing_before = True

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        self._serve(hub.publish(model, "1.0", 0, padding=100_000))

    def prepare(self, place: Place) -> None:
        place.state.parent.mkdir(parents=True, exist_ok=True)

    def act(self, place: Place) -> None:
        place.open().close()


class Rollback(Case):
    """A release that fails on this device's inputs gives way to the one before."""

    name = "rollback"

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        self.good = hub.publish(model, "1.0", 0)
        self.bad = hub.publish(model, "1.1", 7, defect="touchy")

    def begin(self) -> None:
        self._serve(self.good)

    def move(self) -> None:
        self._serve(self.bad)

    def ready(self, place: Place) -> None:
        _synced(place)

    def act(self, place: Place) -> None:
        with place.open() as device:
            for _ in range(PATIENT.trial_errors + 1):
                try:
                    device.predict(TOUCHY)
                except ReleaseError:
                    continue
            device.sync()


class Recovery(Update):
    """A device starts again after it was killed while it activated a release."""

    name = "recovery"

    def ready(self, place: Place) -> None:
        """End in the step ``activate``."""
        device = place.open()
        assert device._link is not None

        def checkpoint(step: str) -> None:
            if step == "activate":
                os.kill(os.getpid(), signal.SIGKILL)

        device._models.own._link.updater._checkpoint = checkpoint
        device.sync()

    def act(self, place: Place) -> None:
        with place.open(hub=NOWHERE):
            pass


class Rotation(Case):
    """The hub's keys are replaced, the publisher's too: a new root, and a plan by the new keys."""

    name = "rotation"

    def __init__(self, hub: FleetHub, model: str) -> None:
        super().__init__(hub, model)
        self.reference = hub.publish(model, "1.0", 0)

    def begin(self) -> None:
        self._serve(self.reference)

    def move(self) -> None:
        self.hub.command("keys", "rotate", str(self.hub.process.data), "releases", "online")
        self._serve(self.reference)


CASES: Final[Mapping[str, type[Case]]] = {
    case.name: case
    for case in (Update, Enrolment, PackDelta, ModelDelta, Rollback, Recovery, Rotation)
}


def why_not(name: str) -> str | None:
    """Return why a case cannot be tried, as a sentence."""
    if name == Rotation.name and importlib.util.find_spec("cloud_hub.cli.keys") is None:
        return "this hub has no command edge-hub keys rotate"
    if name == ModelDelta.name and importlib.util.find_spec("cloud_hub.forms") is None:
        return "this hub makes no deltas of models"
    return None


def _synced(place: Place) -> None:
    with place.open() as device:
        result = device.sync()
        assert result.errors == {}, result.errors


# --- what a device is afterwards ------------------------------------------------------------------


def answers(device: EdgeDevice) -> str:
    """Return version, sources and a digest of the answers to all rows."""
    try:
        given = [device.predict(row) for row in ROWS]
    except ReleaseError:
        return NO_RELEASE
    digest = hashlib.sha256()
    for p in given:
        digest.update(f"{p.version} {p.source} {p.label}".encode())
        digest.update(p.probabilities.tobytes())
    return f"{given[0].version} {digest.hexdigest()[:12]}"


def answers_offline(place: Place) -> str:
    """Open the device without a hub; return how it answers."""
    try:
        with place.open(hub=NOWHERE, token=None) as device:
            return answers(device)
    except StateError as error:
        if "not enrolled" in str(error):
            return NOT_ENROLLED
        raise


def completed(case: Case, place: Place) -> dict[str, Any]:
    """Act again and sync; return how the device answers, its plan, and errors of the last sync."""
    case.act(place)
    with place.open() as device:
        for _ in range(SYNCS):
            errors = device.sync().errors
            if not errors:
                break
        return {"answers": answers(device), "plan": device.status()["plan"], "errors": errors}


def looked_at(case: Case, place: Place) -> dict[str, Any]:
    """Open the device offline, then let it complete; an error is in the result, not raised."""
    found: dict[str, Any] = {}
    looks = {"offline": lambda: answers_offline(place), "online": lambda: completed(case, place)}
    for name, look in looks.items():
        try:
            found[name] = look()
        except (EdgeError, AssertionError) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


@dataclass(frozen=True)
class Expected:
    """How a device of a case answers before and after, and the plan that it ends with."""

    before: str
    after: str
    plan: int

    def wrong(self, found: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with a device that was cut short; empty if it is whole."""
        allowed = {self.before, self.after}
        if self.before in (NOT_ENROLLED, NO_RELEASE):
            allowed |= {NOT_ENROLLED, NO_RELEASE}
        said = []
        if found["offline"] not in allowed:
            said.append(f"offline: expected one of {sorted(allowed)}, got {found['offline']}")
        wanted = {"answers": self.after, "plan": self.plan, "errors": {}}
        if found["online"] != wanted:
            said.append(f"with the hub: expected {wanted}, got {found['online']}")
        return said
