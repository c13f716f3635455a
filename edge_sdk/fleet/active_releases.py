"""The releases of one model that answer on a device: the one that serves, those that it replaced,
and the candidates of an experiment beside it.

Invariants:

* A replaced release still takes labels for predictions that it made, for :data:`RETIRED` swaps.
* What an experiment runs ends with the release that it ran beside.
* Releases with the same digest share one model in memory.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.fleet.file_check import FileCheck
from edge_sdk.fleet.report_collecting import ReportCollecting, window_of
from edge_sdk.fleet.shadowing import Shadowing
from edge_sdk.fleet.unit_places import UnitPlaces
from edge_sdk.fleet.unit_service import UnitService
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.session import Model
from edge_sdk.serving.predictor import CloudCall, Predictor
from edge_sdk.serving.ranking import Item, Ranking, Shown, ShownRankings, ranked
from edge_sdk.serving.terms import NOTHING_SERVES, ServingTerms
from edge_sdk.telemetry.label_join import ErrorRules, bits_of
from edge_sdk.validation import (
    KEY_CHARACTERS,
    candidates_of,
    check_length,
    check_unit,
    clicks_of,
    label_of,
    reward_of,
)

if TYPE_CHECKING:  # a device without hub, pack and experiment starts without them
    from edge_sdk.config import DeviceConfig
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.experiments.base import RunningExperiment
    from edge_sdk.model.memory import ModelMemory
    from edge_sdk.model.release import Release
    from edge_sdk.packs.entity_features import EntityFeatures
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.packs.reader import Pack
    from edge_sdk.personalise.model_personalisation import ModelPersonalisation
    from edge_sdk.serving.adapted_rankings import AdaptedRankings
    from edge_sdk.sessions.session_store import SessionStore
    from edge_sdk.telemetry.energy import EnergyUse
    from edge_sdk.telemetry.label_store import LabelStore

T = TypeVar("T")
RETIRED: Final = 4
"""Swaps after which a replaced release is closed."""


class ActiveReleases(UnitService, FileCheck, ReportCollecting, Shadowing):
    """The servings of one model on a device.

    Attributes:
        serving: answers now, or ``None``. Replaced by one assignment.
        running: an experiment beside it, or ``None``.
        entities: answers by entity, which every release gives; see :meth:`use_entities`.
        personal: what is learned of units; ``None`` until a release comes with a prior.
        sessions: of units, of which every release joins features; see :meth:`use_sessions`.

    Args:
        config: limits.
        boot: random name of this start; the first part of prediction ids.
        keep: takes messages for the hub.
        energy: what the device draws.
        clock: Unix seconds.
        label_store: predictions of earlier starts that wait for labels, where there is a database.
        tags: numbers, of which each predictor's ids have one of their own; models share them.
        memory: that the models of the device share.
        places: on the device for what is learned of units.
    """

    def __init__(
        self,
        config: DeviceConfig,
        boot: str,
        keep: Callable[[list[Body]], None],
        energy: EnergyUse,
        clock: Callable[[], float],
        label_store: LabelStore | None = None,
        tags: Iterator[int] | None = None,
        memory: ModelMemory | None = None,
        places: UnitPlaces = UnitPlaces(),
    ) -> None:
        self.personal: ModelPersonalisation | None = None
        self._places = places
        self.serving: Predictor | None = None
        self.entities: EntityPredictions | None = None
        self.sessions: SessionStore | None = None
        self.running: RunningExperiment | None = None
        self._label_store, self._memory = label_store, memory
        self._why_nothing = "the hub has no plan for this model yet"
        self._lost: str | None = None
        self._config, self._boot, self._keep, self.clock = config, boot, keep, clock
        self._tags = itertools.count(1) if tags is None else tags
        self._retired: deque[tuple[Predictor, ...]] = deque()
        # The second one is held while a meter is read, so never with the first.
        self._lock, self._collecting = threading.RLock(), threading.Lock()
        self._energy, self._shown = energy, ShownRankings()
        self._rankings: AdaptedRankings | None = None

    def open(
        self,
        release: Release,
        terms: ServingTerms,
        *,
        pack: Pack | None = None,
        features: EntityFeatures | None = None,
        cloud: CloudCall | None = None,
        share: bool = False,
        monitoring: bool = True,
        alone: bool = False,
        prior: PersonalPrior | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Predictor:
        """Load a release, ready to answer.

        Args:
            release: whole and verified.
            terms: under which it serves.
            pack: of answers.
            features: of entities.
            cloud: asks the cloud model.
            share: the owner agrees to share labelled rows.
            monitoring: its predictions are counted.
            alone: with a model of its own in memory, even if another one has it already.
            prior: what units without history begin with, made for this release.
            attributes: of the device, which name its cohort.

        Raises:
            ReleaseError: the model does not load.
        """
        loaded = (s for s in self._servings() if s.release.runs_like(release) and not alone)
        same = next(loaded, None)
        options = RuntimeOptions.of(self._config)
        model = same.model if same else Model.load(release, options, self._memory, lean=True)
        personal = None if prior is None else self._personaliser(release, terms, prior, attributes)
        predictor = Predictor(
            release, terms, tag=f"{self._boot}.{next(self._tags)}", pack=pack, features=features,
            cloud=cloud, share=share, monitoring=monitoring and self._config.monitoring,
            options=options, clock=self.clock, model=model,
            personal=personal,
        )  # fmt: skip
        predictor.use_entities(self.entities)
        predictor.use_sessions(self.sessions)
        return predictor

    def serve(self, serving: Predictor) -> None:
        """Let ``serving`` answer from the next call on."""
        with self._lock:
            old, self.serving = self.serving, serving
            self._lost = None
            if serving.entities is None or serving.entities.pack is not self.entities:
                serving.use_entities(self.entities)  # replaced while this one was loaded
            serving.use_sessions(self.sessions)  # likewise
            if serving.personal is not None:
                self.personalisation().serve(serving.personal)
            self.run(None)
            if old is not None:
                self._retire((old,))
        self._energy.begin(serving, window_of(serving, self.clock()))

    def run(self, running: RunningExperiment | None) -> None:
        """End what runs beside, and run ``running``."""
        with self._lock:
            ended, self.running = self.running, running
            if (ended, running) != (None, None):
                self._energy.mix()
            if ended is not None:
                ended.close()
                self._keep(ended.collect(self.clock(), final=True))
                self._retire(tuple(ended.servings()))

    def current(self) -> Predictor:
        """Return what serves.

        Raises:
            ReleaseError: nothing does.
        """
        if self.serving is None:
            lost = f"{self._lost}; it is fetched again at the next sync; " if self._lost else ""
            raise ReleaseError(f"nothing serves: {lost}{self._why_nothing}")
        return self.serving

    def explain_absence(self, reason: str) -> None:
        """Name the reason why nothing serves, for the error that predictions then raise."""
        self._why_nothing = reason

    def lose(self, reason: str) -> None:
        """Note why a release that was here does not load, for the same error and the status."""
        self._lost = reason

    def check_unit(self, unit: str) -> None:
        """Refuse what cannot name a unit; raises InputError."""
        try:
            check_unit(unit)
        except InputError as error:
            raise self._refusal(error.kind, str(error)) from None

    def serving_for(self, unit: str | None) -> Predictor:
        """Return the predictor for ``unit``: an arm of an A/B by key if one runs, else what serves.

        Raises:
            InputError: ``unit`` cannot be a key.
            ReleaseError: nothing serves.
        """
        if unit is None:
            return self.current()
        if type(unit) is not str or not 0 < len(unit) <= KEY_CHARACTERS or not unit.isascii():
            self.check_unit(unit)  # the rest of the rule
        running = self.running
        arm = running.serving_for(unit) if running is not None else None
        return self.current() if arm is None else arm

    def ranking(
        self,
        x: Any,
        candidates: Sequence[Item] | None,
        length: int | None,
        unit: str | None,
        features: Any = None,
    ) -> Ranking:
        """Return a ranking, of one release, adapted to the unit, or mixed of two.

        Args:
            x: input, as for :meth:`EdgeDevice.predict_ranking`.
            candidates: the items to rank; ``None`` for a model that scores all of its own.
            length: number of items at most; ``None`` for all.
            unit: for whom it is.
            features: of the items, for lists that adapt.
        """
        if length is not None:
            self._counted(check_length, length)
        if candidates is not None:
            candidates = self._counted(candidates_of, candidates)
        running = self.running
        mixed = running.rank(x, candidates, length) if running is not None else None
        if mixed is not None:
            return mixed
        serving = self.serving_for(unit)
        adapted = None if unit is None else self._adapted(serving)
        if adapted is not None and unit is not None:
            ranking = adapted.ranking(serving, x, candidates, length, unit, features)
        else:
            whole = ranked(serving, x, candidates)
            ranking = Ranking(whole.items[:length], whole.id, whole.version)
        with self._lock:
            self._shown.put(ranking.id, Shown(ranking.items))
        return ranking

    def feedback(
        self,
        prediction: str,
        label: Label | float | Collection[Label] | None,
        reward: float | None,
        clicks: Sequence[Item] | None,
    ) -> None:
        """Join late feedback with its prediction; see :meth:`EdgeDevice.feedback`.

        Args:
            prediction: id of it.
            label: the right answer, if one came.
            reward: a numeric outcome, if one came.
            clicks: items of a ranking that were clicked on, if it was shown.
        """
        prediction = str(prediction)
        reward = None if reward is None else self._counted(reward_of, reward)
        if clicks is not None:
            clicked = self._clicked(prediction, clicks, reward)
            reward = clicked if reward is None else reward
        elif reward is not None and self._rankings is not None:
            self._rankings.outcome(prediction, (), None, reward)
        if label is None and reward is None:
            return
        label = None if label is None else self._counted(label_of, label)
        tag, _, number = prediction.rpartition("-")
        serving = self.maker_of(prediction)
        if self._label_store is not None:
            self._label_store.mark_used()
        if serving is None:
            self._feed_back_late(prediction, label, reward)
            return
        serving.feedback(number, label, reward)
        if self._label_store is not None:
            self._label_store.note_label(tag, number, bits_of(label, reward))
        if label is not None and self.running is not None:
            self.running.labelled(tag, number, label)

    def _feed_back_late(
        self, prediction: str, label: Label | float | None, reward: float | None
    ) -> None:
        """Join feedback with a prediction that no predictor made, perhaps of an earlier start."""
        tag, _, number = prediction.rpartition("-")
        store, serving = self._label_store, self.serving
        rules = ErrorRules() if serving is None else ErrorRules.of(serving.terms.reporting)
        if store is None or not self._counted(store.feedback, tag, number, label, reward, rules):
            raise self._refusal(
                "unknown_prediction",
                f"expected the id of a recent prediction, got {prediction!r:.60}",
            )

    def _clicked(self, name: str, clicks: Sequence[Item], reward: float | None) -> float | None:
        """Credit the clicks on a ranking: to a team, or as the reward of the release that made it.

        The reward is 1 if there was a click, else 0. Lists that adapt learn of both.
        """
        clicks = self._counted(clicks_of, clicks)
        running = self.running
        if running is not None and running.clicked(name, clicks):
            return None
        with self._lock:
            shown = self._counted(self._shown.click, name, clicks, self.maker_of(name))
        if self._rankings is not None:
            self._rankings.outcome(name, shown.items, clicks, reward)
        return float(len(clicks) > 0)

    def maker_of(self, prediction: str) -> Predictor | None:
        """Return the predictor that made the prediction or ranking of this id, if it is here."""
        return next((s for s in self._servings() if s.tag == prediction.rpartition("-")[0]), None)

    def _counted(self, call: Callable[..., T], *arguments: Any) -> T:
        """Return what ``call`` returns; if it refuses, that is counted."""
        try:
            return call(*arguments)
        except InputError as error:
            raise self._refusal(error.kind, str(error)) from None

    def _refusal(self, kind: str, message: str) -> InputError:
        if self.serving is not None:
            self.serving.monitor.record_error(kind)
        return InputError(kind, message)

    def note_use(self) -> None:
        """Tell the memory that the models share which have answered since the last call."""
        if self._memory is not None and self._memory.limit:
            self._memory.note((s, s.model, s.monitor.activity) for s in self._answering())

    def _answering(self) -> Iterator[Predictor]:
        running = self.running
        if self.serving is not None:
            yield self.serving
        if running is not None:
            yield from (s for s in running.servings() if s is not self.serving)

    def forget_errors(self) -> None:
        """Failed calls are counted from now."""
        beside = () if self.running is None else self.running.candidates.values()
        for serving in (*self._servings(), *beside):
            serving.errors = 0

    def status(self) -> dict[str, Any]:
        """Return what serves, the candidates beside it (versions by arm), and their groups."""
        serving, running = self.serving, self.running
        candidates = {} if running is None else running.candidates
        return {
            **(serving.status() if serving is not None else NOTHING_SERVES),
            "beside": {arm: s.release.manifest.version for arm, s in candidates.items()},
            "groups": [] if serving is None else list(serving.monitor.grouping.app_columns),
            "sessions": None if self.sessions is None else self.sessions.status(),
            "energy": self._energy.status(),
            **({} if self._rankings is None else self._rankings.status()),
            "damaged": self.damage(),
            "lost": self._lost,
            "personal": self._personal_status(),
        }

    def close(self) -> None:
        """Unmap every file; nothing answers after it."""
        with self._lock:
            self.run(None)
            if self.personal is not None:
                self.personal.save()  # while its units are in memory
            for serving in self._servings():
                serving.close()
            self.use_sessions(None)
            self.serving = None
            self._why_nothing = "this device is closed"
            self._retired.clear()
            if self.personal is not None:
                self.personal.close()

    def _servings(self) -> Iterator[Predictor]:
        """All that may still get a label."""
        if self.serving is not None:
            yield self.serving
        if self.running is not None:
            yield from self.running.servings()
        for group in tuple(self._retired):
            yield from group

    def _retire(self, group: tuple[Predictor, ...]) -> None:
        self._retired.appendleft(group)
        while len(self._retired) > RETIRED:
            for oldest in self._retired.pop():
                self._keep(oldest.monitor.collect(self.clock(), final=True))
                oldest.close()
