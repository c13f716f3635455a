"""Gives devices the newest values of sets, again whenever those would be others.

Other feature stores call it materialization.

Invariant: what devices were given is compared with what is there, and nothing is remembered in
between; so a hub that is killed at any moment, a rule of retention, a changed declaration and a
version that is promoted later all end in the same: the next tick gives what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.features.online import online_table
from edge_sdk.contract.limits import LATEST

if TYPE_CHECKING:
    from cloud_hub.features.declaration import VersionedSet
    from cloud_hub.features.history_store import FeatureHistory
    from cloud_hub.features.service import Features

log = logging.getLogger(__name__)

GIVE_SECONDS: Final = 60.0
"""Between two files for devices, where a delay lets rows through one after the other."""

_NEVER: Final = -float(LATEST)


@dataclass(frozen=True)
class Given:
    """What devices of a model have.

    Attributes:
        at: moment of the values, Unix seconds.
        is_newest: no other files, versions of sets or rules are there by now.
        held_back: some row of them became visible after that: one with a delay.
        all_visible: no more rows of the same files are still held back.
    """

    at: float
    is_newest: bool
    held_back: bool
    all_visible: bool


class Giving:
    """Gives features of sets to devices of all models.

    Args:
        history: sets and their rows.
        online: hands values out.
    """

    def __init__(self, history: FeatureHistory, online: Features) -> None:
        self._history = history
        self._online = online
        self._noted: set[tuple[str, str, str]] = set()

    def give(self, model: str, now: float) -> None:
        """Give the newest values of a model's sets to its devices.

        Raises:
            HubFault: the release that serves cannot take them.
        """
        sets = self._history.of_model(model)
        made_of = self._made_of(sets)  # before the rows: what comes meanwhile makes it another text
        with self._history.opened(sets) as histories:
            table = online_table(histories, now)
        if table is not None:
            versions = self._online.give(model, table, now, made_of)
            for version in versions:
                self._history.note_uses(model, version, "served", histories, now)

    def give_new(self, model: str, now: float) -> None:
        """Give a model's values if they are others than those that were given last.

        Raises:
            HubFault: see :meth:`give`.
        """
        sets = self._history.of_model(model)
        if all(self._visible_since(each, _NEVER, now) is None for each in sets):
            return
        given = self._given(model, sets, now)
        others = given is None or not given.is_newest
        if given is not None and given.held_back:
            others |= given.all_visible or now - given.at >= GIVE_SECONDS
        if others:
            self.give(model, now)
        else:
            self._note_served(model, sets, now)

    def give_all(self, models: Sequence[str], now: float) -> list[str]:
        """Give to each model what is new; return why some cannot take it."""
        warnings = []
        for model in models:
            try:
                self.give(model, now)
            except (Invalid, Conflict, NotFound) as error:
                # The rows are kept and right; it is this model that cannot take them.
                log.warning("%s: features were not given out; %s", model, error)
                warnings.append(f"{model}: {error}")
        return warnings

    def given(self, model: str, now: float) -> Given | None:
        """Return what devices of a model have; ``None`` before the first time."""
        return self._given(model, self._history.of_model(model), now)

    def made_of(self, model: str) -> str:
        """Return a text that names the sets of a model and the files that they have now."""
        return self._made_of(self._history.of_model(model))

    def _given(self, model: str, sets: Sequence[VersionedSet], now: float) -> Given | None:
        info = self._online.info(model)
        if info is None:
            return None
        is_newest = info.made_of == info.published == self._made_of(sets)
        until = [self._visible_since(each, info.updated_at, now) for each in sets]
        last = [each for each in until if each is not None]
        return Given(info.updated_at, is_newest, bool(last), all(last))

    def _made_of(self, sets: Sequence[VersionedSet]) -> str:
        return " ".join(f"{s.ref}:{self._history.state(s.declared.name)}" for s in sets)

    def _visible_since(self, of: VersionedSet, given: float, now: float) -> bool | None:
        """Return whether all rows are visible by now of the files of which some became so after
        values were given; ``None`` if none did.
        """
        delay = of.declared.delay_seconds
        last = self._history.last_between(of.declared.name, given - delay, now - delay)
        return None if last is None else last + delay <= now

    def _note_served(self, model: str, sets: Sequence[VersionedSet], now: float) -> None:
        """Note versions that serve what was given before they did."""
        served = self._online.served(model)
        new = {(model, version, each.ref) for version in served for each in sets} - self._noted
        if not new:
            return
        with self._history.opened(sets) as histories:
            for version in served:
                self._history.note_uses(model, version, "served", histories, now)
        self._noted |= new
