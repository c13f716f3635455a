"""The personalisation of one model on a device: its units, and the priors of what serves.

Invariants:

* Nothing about it keeps a release from serving: what cannot be personalised is said, and served as
  the release answers.
* Units keep what they learned as long as releases have the same basis; else they begin anew, which
  is told once. States of the basis before stay on the disk until they are the oldest, so a device
  that goes back a release has them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from edge_sdk.personalise.guard import ServingGuard
from edge_sdk.personalise.personal_kind import (
    PersonalKind,
    guard_from_bytes,
    guard_to_bytes,
    plain_status,
)
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.personaliser import Personaliser
from edge_sdk.personalise.sums.contributions import Contributions
from edge_sdk.personalise.units.unit_secret import secret_in
from edge_sdk.personalise.units.unit_store import SAVE_SECONDS, UnitLimits, UnitStore
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from pathlib import Path

    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.contract.serving_terms import Personalisation
    from edge_sdk.model.release import Release
    from edge_sdk.personalise.unit_state import UnitState
    from edge_sdk.personalise.units.unit_space import UnitSpace

_log = Log(__name__)

_BASIS: Final = "basis"
RESET_SECONDS: Final = 3_600.0
"""Seconds for which it is told that units began anew."""


class Places(Protocol):
    """Places on the device: a folder for the file of units and one for the secret, if any, and
    values of the model in the device's database.
    """

    @property
    def folder(self) -> Path | None: ...  # noqa: D102

    @property
    def secret(self) -> Path | None: ...  # noqa: D102

    @property
    def state(self) -> Any: ...  # noqa: D102


class _InForce(NamedTuple):
    """A prior whose units are asked: its kind, and the guard of the device for its generation."""

    kind: PersonalKind
    units: UnitSpace[UnitState]
    generation: int
    contributions: Contributions | None


class ModelPersonalisation:
    """Units of one model, and what serves them.

    Attributes:
        store: of the units.
        reset: why units began anew lately; ``None`` where they did not.

    Args:
        places: on the device for units.
        clock: Unix seconds.
    """

    def __init__(self, places: Places, clock: Callable[[], float]) -> None:
        self.store = UnitStore(places.folder, secret_in(places.secret))
        self._places, self._clock = places, clock
        self._in_force: dict[str, _InForce] = {}
        self._opened: WeakKeyDictionary[Personaliser, _InForce] = WeakKeyDictionary()
        self._noted: dict[str, bytes] = {}
        self._reset: tuple[float, str] | None = None
        self._model = ""

    def open(
        self,
        release: Release,
        prior: PersonalPrior,
        terms: Personalisation,
        attributes: Mapping[str, str],
    ) -> Personaliser | None:
        """Return what corrects a release's answers; ``None`` where nothing can, which is told.

        Where units of the same basis are in use already they go on with the prior that they have,
        until this one's release serves (:meth:`serve`): a candidate's changes no other answer.

        Args:
            release: that is opened.
            prior: made for it.
            terms: of the plan.
            attributes: of the device, which name its cohort.
        """
        if release.manifest.signature.state:
            _log.warning(
                "%s: a model with recurrent state is not personalised: its answers to one unit "
                "depend on all inputs before",
                f"{release.manifest.model} {release.manifest.version}",
            )
            return None
        # A part is for units that are unpacked, and for predictions that wait for labels.
        self.store.limits = UnitLimits(terms.memory_bytes * 15 // 16)
        basis, self._model = prior.basis_digest, prior.model
        before = self._in_force.get(basis)
        model = PersonalModel(prior, attributes)
        guard = self._guard(model, before)
        kind = PersonalKind(model, guard, serves=terms.mode == "on")
        units = self.store.space(basis, kind)
        # Those that nothing asks any more are gone.
        self._in_force = {
            name: each
            for name, each in self._in_force.items()
            if (each.units is units if name == basis else self.store.has(name))
        }
        contributions = self._contributions(prior, terms, attributes)
        opened = _InForce(kind, units, prior.generation, contributions)
        self._in_force.setdefault(basis, opened)
        personal = Personaliser(release, self.store, units, kind, self._clock)
        self._opened[personal] = opened
        return personal

    def serve(self, personal: Personaliser) -> None:
        """Let a release's own prior rule the units of its basis: the release serves now."""
        found = self._opened[personal]
        basis = found.units.space
        if found is not self._in_force.get(basis):
            self._in_force.pop(basis, None)  # the newest is the last
            self._in_force[basis] = found
            found.units.use(found.kind)
        self._tell_reset(basis, found.kind.model.prior)

    @property
    def reset(self) -> str | None:
        """Return why units began anew within the last hour, if they did."""
        if self._reset is None or self._clock() - self._reset[0] > RESET_SECONDS:
            return None
        return self._reset[1]

    @property
    def trouble(self) -> str | None:
        """Return what is worse than it should be, a sentence: units that began anew within the last
        hour, a disk that takes nothing, units that had no room, corrections that did not help.
        """
        store, model = self.store, self._model
        found = [self.reset] if self.reset else []
        if store.trouble:
            found.append(f"the disk takes no states of units of {model}: {store.trouble}")
        if lost := store.status()["lost"]:
            found.append(f"{lost} units of {model} had no room and begin anew")
        if any(not each.kind.device_serves for each in self._in_force.values()):
            found.append(
                f"corrections for units of {model} made its answers worse here: they are off"
            )
        return "; ".join(found) or None

    def collect(self, now: float) -> list[Body]:
        """Return the reports of sums over units that are due at ``now``, Unix seconds."""
        bodies: list[Body] = []
        for each in tuple(self._in_force.values()):
            if each.contributions is not None:
                bodies.extend(each.contributions.collect(now, partial(_summaries, each)))
        return bodies

    def save(self) -> None:
        """Write what was learned now."""
        self.store.save()
        self._note_guards()

    def fold(self) -> None:
        """Write what was learned, if it is time; for the thread that folds."""
        if self.store.save(seconds=SAVE_SECONDS):
            self._note_guards()

    def status(self) -> dict[str, Any]:
        """Return what it comes to, as plain values."""
        newest = next(reversed(self._in_force.values()), None)
        about = {} if newest is None else plain_status(newest.kind)
        return {**self.store.status(), **about, "reset": self.reset}

    def close(self) -> None:
        """Write what was learned, and close the file."""
        self.save()
        self.store.close()

    def _contributions(
        self, prior: PersonalPrior, terms: Personalisation, attributes: Mapping[str, str]
    ) -> Contributions | None:
        """Return what this device adds to the hub's sums; ``None`` on a device without a hub."""
        if self._places.state is None:
            return None
        cohort = attributes.get(prior.attribute or "", "")
        known = cohort if cohort in prior.cohorts else ""
        return Contributions(self._places.state, prior, terms, known)

    def _guard(self, model: PersonalModel, before: _InForce | None) -> ServingGuard:
        """Return the guard of all units, which goes on as long as the prior is the same."""
        prior = model.prior
        if before is not None and before.generation == prior.generation:
            return before.kind.guard
        raw = self.store.note(_note_name(prior.basis_digest))
        return guard_from_bytes(raw, prior.generation, model.new_guard())

    def _note_guards(self) -> None:
        for basis, each in tuple(self._in_force.items()):
            name, raw = _note_name(basis), guard_to_bytes(each.kind.guard, each.generation)
            if self._noted.get(name) != raw:
                self._noted[name] = raw
                self.store.put_note(name, raw)

    def _tell_reset(self, basis: str, prior: PersonalPrior) -> None:
        """Tell once where another basis than the last one begins, and units had learned."""
        last = _read(self.store.note(_BASIS))
        if last.get("basis") == basis:
            return
        self.store.put_note(_BASIS, json.dumps({"basis": basis, "of": prior.version}).encode())
        others = sum(
            n for name, n in self.store.spaces_on_disk().items() if name == last.get("basis")
        )
        if not others:
            return
        text = (
            f"{prior.model} {prior.version} tells units apart by another basis than "
            f"{last.get('of')}: what {others} units had learned means nothing to it, and they "
            "begin anew"
        )
        _log.info("%s", text)
        self._reset = (self._clock(), text)


def _summaries(of: _InForce) -> Iterator[Any]:
    """Yield a summary of each unit, one after the other."""
    for state in of.units.each():
        yield of.kind.model.summary(state)


def _note_name(basis: str) -> str:
    return f"guard {basis:.16}"


def _read(raw: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
