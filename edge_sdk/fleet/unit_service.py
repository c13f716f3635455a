"""What the releases of one model share: what was learned of units, sessions, answers by entity."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.fleet.unit_places import UnitPlaces
    from edge_sdk.model.release import Release
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.personalise.model_personalisation import ModelPersonalisation
    from edge_sdk.personalise.personaliser import Personaliser
    from edge_sdk.serving.adapted_rankings import AdaptedRankings
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.serving.terms import ServingTerms
    from edge_sdk.sessions.session_store import SessionStore


class UnitService:
    """Methods of the releases of a model that are about none of them.

    Attributes:
        entities: answers by entity, which every release gives; see :meth:`use_entities`.
        personal: what is learned of units; ``None`` until a release comes with a prior.
        sessions: of units, of which every release joins features; see :meth:`use_sessions`.
        clock: Unix seconds.
    """

    entities: EntityPredictions | None
    personal: ModelPersonalisation | None
    sessions: SessionStore | None
    clock: Callable[[], float]
    serving: Predictor | None
    _places: UnitPlaces
    _rankings: AdaptedRankings | None
    _lock: threading.RLock

    def check_unit(self, unit: str) -> None:
        """Refuse what cannot name a unit; raises InputError."""
        raise NotImplementedError

    def _servings(self) -> Iterator[Predictor]:
        raise NotImplementedError

    def personalisation(self) -> ModelPersonalisation:
        """Return what is learned of the model's units, begun here where nothing is yet."""
        with self._lock:
            if self.personal is None:
                # Only here: a device whose plan has no prior loads nothing of it.
                from edge_sdk.personalise.model_personalisation import ModelPersonalisation

                self.personal = ModelPersonalisation(self._places, self.clock)
            return self.personal

    def _personaliser(
        self,
        release: Release,
        terms: ServingTerms,
        prior: PersonalPrior,
        attributes: Mapping[str, str] | None,
    ) -> Personaliser | None:
        """Return what corrects the answers of a release for units; ``None`` for nobody."""
        if terms.personalise is None:
            return None
        return self.personalisation().open(release, prior, terms.personalise, attributes or {})

    def forget(self, unit: str) -> bool:
        """Forget a unit; see :meth:`EdgeDevice.forget`.

        Raises:
            InputError: ``unit`` cannot be one.
            StateError: it is forgotten here, and the disk does not take that now.
        """
        self.check_unit(unit)
        found = False
        try:
            found = self._forget_learned(unit)
        finally:  # whatever the disk says to the one, the other is forgotten too
            with self._lock:  # no other store takes them over meanwhile
                if self.sessions is not None:
                    found = self.sessions.forget(unit) or found
        return found

    def _forget_learned(self, unit: str) -> bool:
        """Forget what was learned of a unit, and lists that wait for its clicks."""
        if self.personal is None and not self._places.stored:
            return False
        store = self.personalisation().store
        key, found = store.key_of(unit), False
        try:
            found = store.forget(unit)
        finally:  # afterwards: what is answered meanwhile waits for no label of a gone unit
            for serving in self._servings():
                if serving.personal is not None:
                    found = serving.personal.forget(key) or found
            if self._rankings is not None:
                found = self._rankings.forget(unit) or found
        return found

    def use_entities(self, pack: EntityPredictions | None) -> None:
        """Answer entities from ``pack`` from the next call on; ``None`` for no precomputed answers.

        Such answers are of no release here, so they stay when another one serves.
        """
        with self._lock:
            self.entities = pack
            for predictor in self._servings():
                predictor.use_entities(pack)

    def use_sessions(self, sessions: SessionStore | None) -> bool:
        """Join features of units' sessions from the next call on; ``None`` for none.

        Like answers by entity they stay when another release serves.

        Returns:
            Whether the sessions of before, if any, go on: they do if they are of the same rules.
        """
        with self._lock:
            before = self.sessions
            goes_on = before is None or (sessions is not None and sessions.adopt(before))
            self.sessions = sessions
            for predictor in self._servings():
                predictor.use_sessions(sessions)
        if before is not None:
            before.close()
        return goes_on

    def declared_sessions(self) -> SessionStore:
        """Return the sessions of units; raises InputError where none are declared."""
        sessions = self.sessions
        if sessions is None:
            raise InputError(
                "session",
                "no session features are declared for this model: apply a set with source: session "
                "on the hub, or open the device with sessions=",
            )
        return sessions

    def _adapted(self, serving: Predictor) -> AdaptedRankings | None:
        """Return what adapts lists, under the terms of what serves; ``None``: they do not adapt."""
        terms = serving.terms.personalise
        if terms is None:
            return None
        rankings = self._rankings
        if rankings is None:
            from edge_sdk.serving.adapted_rankings import AdaptedRankings

            with self._lock:
                if self._rankings is None:
                    store = self.personalisation().store
                    self._rankings = AdaptedRankings(terms, store, self.clock)
                rankings = self._rankings
        rankings.use(terms)
        return rankings

    def _personal_status(self) -> dict[str, Any] | None:
        """Return what was learned of units, as plain values; ``None`` where nothing can be."""
        if self.personal is None:
            return None
        serving = self.serving.personal if self.serving is not None else None
        return self.personal.status() | ({} if serving is None else serving.status())
