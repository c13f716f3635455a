"""The rankings of one model that adapt to units: choosing lists, learning of clicks, reporting.

Invariants:

* Without evidence of a unit its best list is the release's own.
* A list that is not the best one is shown with chance ``explore`` at most.
* What is sent are sums over lists of at least ``minimum_units`` units, and of two where ``epsilon``
  allows a minimum of one. It does not replace these: noise that hides one unit's lists would hide
  the estimate too.
* Where adapting does harm (:mod:`edge_sdk.personalise.rankings.harm_watch`), lists are the
  release's own until another release serves.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_sdk.personalise.rankings.clicks import examined_rewards
from edge_sdk.personalise.rankings.exploration import (
    ListChances,
    Order,
    exploring_scores,
    list_chances,
    top,
)
from edge_sdk.personalise.rankings.harm_watch import HarmWatch
from edge_sdk.personalise.rankings.off_policy_sums import OffPolicySums, ShownChances
from edge_sdk.personalise.rankings.pending_lists import PLACES, PendingList, PendingLists
from edge_sdk.personalise.rankings.session_model import (
    FEATURES,
    Floats,
    ScorePrior,
    SessionModel,
    SessionState,
    TastePosterior,
    design,
    dump_state,
    load_state,
    means,
    scale_of,
    state_bytes,
)
from edge_sdk.personalise.rankings.taste_mixture import (
    TasteMixture,
    TasteWeights,
    log_likelihood,
)

if TYPE_CHECKING:
    from edge_sdk.contract.personal.ranking_report import RankingReport
    from edge_sdk.contract.serving_terms import Personalisation
    from edge_sdk.contract.window import Window
    from edge_sdk.personalise.units.unit_space import HeldUnit, UnitSpace

log = logging.getLogger(__name__)

RELEASES: Final = 8
"""Releases whose sums are kept at a time."""


@dataclass(frozen=True)
class UnitTaste:
    """What a ranking reads of a unit's state."""

    basis: bytes
    scale: float
    posteriors: tuple[TastePosterior, ...]


class RankingUnits:
    """Kind of state that a store of units holds for rankings.

    Attributes:
        state_bytes: of a packed state, at most.

    Args:
        model: learns.
        clock: Unix seconds.
    """

    def __init__(self, model: SessionModel, clock: Callable[[], float]) -> None:
        self._model, self._clock = model, clock
        self.state_bytes = state_bytes(FEATURES)

    def new(self) -> SessionState:
        """Return a state without evidence."""
        return SessionState()

    def dump(self, state: SessionState) -> bytes:
        """Pack a state."""
        return dump_state(state)

    def load(self, raw: bytes) -> SessionState:
        """Unpack a state; raises ContractError."""
        return load_state(raw)

    def derived(self, state: SessionState | None) -> UnitTaste | None:
        """Return what rankings read; ``None`` without evidence."""
        if state is None or not state.items:
            return None
        return UnitTaste(state.basis, state.scale, self._model.posteriors(state, self._clock()))


@dataclass(frozen=True)
class ItemRows:
    """The items of one request, best first as the release ranks.

    ``scores`` [n] are on the scale of ``prior``, finite, and do not rise; ``features`` [n, d] have
    the meaning that ``basis`` names. ``source`` is the tag of the release, ``window`` gives its
    report window by the start.
    """

    scores: Floats
    features: Floats
    prior: ScorePrior
    basis: bytes
    source: str
    window: Callable[[int], Window]


@dataclass(frozen=True)
class AdaptedList:
    """A list to show: ``order`` [length], indices of items; ``propensities`` [length], the chance
    of each item to be at its place; ``personalised`` says whether it is for this unit.
    """

    order: Order
    propensities: Floats
    personalised: bool


@dataclass
class _Release:
    """Sums and watch of one release; ``window`` gives its report window.

    ``foretold`` and ``rewarded`` are sums over lists of the expected chance of a click and of the
    reward: their quotient brings expectations to the scale of the application's rewards.
    """

    window: Callable[[int], Window]
    sums: OffPolicySums = field(default_factory=OffPolicySums)
    watch: HarmWatch = field(default_factory=HarmWatch)
    foretold: float = 1.0
    rewarded: float = 1.0

    def weighed(self, lists: ListChances, shown: int, best: Floats) -> ShownChances:
        """Return what is needed to weigh the outcome of the list that is shown."""
        scale = self.rewarded / self.foretold
        value, best_value, own_value = (
            min(1.0, scale * _any_click(best[lists.orders[i]]))
            for i in (shown, lists.best, lists.own)
        )
        best_chance, own_chance = (float(lists.chances[i]) for i in (lists.best, lists.own))
        return ShownChances(
            best_chance, own_chance, shown == lists.best, shown == lists.own,
            value, best_value, own_value,
        )  # fmt: skip


class AdaptiveRankings:
    """Rankings of one model. Safe from any number of threads.

    Args:
        terms: of the plan.
        units: states of units; of the kind :class:`RankingUnits`.
        model: learns; the same as that of the kind.
        seed: of all chance; random if not given. With a seed the same calls give the same lists.
        clock: Unix seconds.
    """

    def __init__(
        self,
        terms: Personalisation,
        units: UnitSpace[SessionState],
        *,
        model: SessionModel,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.terms, self._units, self._model, self._clock = terms, units, model, clock
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._pending = PendingLists()
        self._releases: OrderedDict[str, _Release] = OrderedDict()
        self._reported = int(clock())
        self._tastes = TasteWeights(len(model.terms.tastes))

    def rank(self, name: str, unit: str, items: ItemRows, length: int) -> AdaptedList:
        """Return the list to show, and remember it until its clicks come.

        Args:
            name: id of the ranking.
            unit: for whom it is.
            items: scored by the release, best first; at least one.
            length: of the list, 1 to n.
        """
        held = self._units.find(unit)
        scale, posterior, taste = self._known(held, items)
        x = design(scale, items.scores, items.features)
        best = means(posterior.mean, x, items.prior)
        with self._lock:
            release = self._release(items)
            lists = self._lists(release, posterior, x, best, length)
            shown = lists.choose(self._random)
            release.sums.shown += 1
            order = lists.orders[shown]
            chances = release.weighed(lists, shown, best)
            clickable = _any_click(best[order])
            self._pending.put(name, _remembered(held, items, scale, order, chances, clickable))
        personalised = taste and self.adapts and not release.watch.stopped
        return AdaptedList(order, lists.propensities(shown), personalised)

    def best(self, unit: str, items: ItemRows, length: int) -> Order:
        """Return what the unit's model thinks best, [length]; nothing is drawn or remembered."""
        scale, posterior, _ = self._known(self._units.find(unit), items)
        x = design(scale, items.scores, items.features)
        return top(means(posterior.mean, x, items.prior), length)

    def _known(self, unit: HeldUnit, items: ItemRows) -> tuple[float, TasteMixture, bool]:
        """Scale of a unit's features, posterior of its taste, and whether it has shown any."""
        taste: UnitTaste | None = self._units.answer_of(unit)
        if taste is not None and taste.basis == items.basis:
            return taste.scale, TasteMixture(taste.posteriors, self._tastes.weights), True
        if taste is not None:
            log.info("features of items have another meaning than before: a unit begins anew")
        parts = self._model.priors(items.features.shape[1])
        return scale_of(items.features), TasteMixture(parts, self._tastes.weights), False

    @property
    def adapts(self) -> bool:
        """Whether lists are adapted, and not only learned from."""
        return self.terms.mode == "on"

    def _release(self, items: ItemRows) -> _Release:
        release = self._releases.get(items.source)
        if release is None:
            release = self._releases[items.source] = _Release(items.window)
            if len(self._releases) > RELEASES:
                self._releases.popitem(last=False)
        return release

    def _lists(
        self, release: _Release, posterior: TasteMixture, x: Floats, best: Floats, length: int
    ) -> ListChances:
        if not self.adapts or release.watch.stopped:
            return list_chances(best, best[None][:0], 1.0, length)  # the release's own, always
        method, explore = self.terms.exploration, self.terms.explore
        scores = exploring_scores(method, posterior, x, best, self._random)
        return list_chances(best, scores, explore, length)

    def outcome(self, name: str, clicked: Collection[int] | None, reward: float | None) -> None:
        """Learn of the outcome of a list; one that is unknown or forgotten teaches nothing.

        Each kind of outcome counts once. A reward without clicks is of the whole list: it teaches
        only where that is one item.

        Args:
            name: id of the ranking.
            clicked: places that were clicked on, perhaps none; ``None`` where that is not known.
            reward: of the whole list, finite.
        """
        with self._lock:
            pending = self._pending.get(name)
            if pending is None:
                return
            rewards = _item_rewards(pending, clicked, reward)
            learns = rewards is not None and not pending.learnt
            pending.learnt |= learns
            if clicked is not None and reward is None:
                reward = float(len(clicked) > 0)
            if reward is not None and not pending.counted:
                pending.counted = True
                self._count(pending, reward)
        if learns and rewards is not None:
            self._learn(pending, rewards)

    def _count(self, pending: PendingList, reward: float) -> None:
        release = self._releases.get(pending.source)
        if release is not None:
            inside = min(max(reward, 0.0), 1.0)
            release.sums.add(self._hash(pending.unit.name), pending.chances, reward)
            release.watch.add(pending.chances, inside)
            release.foretold += pending.clickable
            release.rewarded += inside

    def _learn(self, pending: PendingList, rewards: Floats) -> None:
        features = pending.features[: len(rewards)].astype(np.float64)
        scores = pending.scores[: len(rewards)].astype(np.float64)

        def change(state: SessionState) -> Floats:
            if state.basis != pending.basis:
                state.begin(pending.basis, pending.scale, features.shape[1])
            x, now = design(state.scale, scores, features), self._clock()
            residuals = self._model.residuals(x, rewards, pending.prior)
            noise = self._model.terms.noise
            parts = self._model.posteriors(state, now)
            foretold = np.array([log_likelihood(part, x, residuals, noise) for part in parts])
            self._model.learn(state, x, rewards, pending.prior, now)
            return foretold

        foretold = self._units.change(pending.unit, self._clock(), change)
        if foretold is not None:  # the unit was not forgotten meanwhile
            with self._lock:
                self._tastes.add(foretold)

    def forget(self, unit: str) -> bool:
        """Remove the lists of a unit that wait; its state is the store's. Return if there were."""
        with self._lock:
            return self._pending.forget(unit)

    def collect(self, now: float, *, final: bool = False) -> list[RankingReport]:
        """Return the reports of releases whose window ended (with ``final``, of all)."""
        reports = []
        with self._lock:
            for release in self._releases.values():
                seconds = _seconds(release.window(0))
                start = int(now // seconds) * seconds - (0 if final else seconds)
                if not final and self._reported // seconds == int(now) // seconds:
                    continue
                window = release.window(start)
                least, stopped = max(self.terms.minimum_units, 2), release.watch.stopped
                reports.append(release.sums.take(window, least, stopped=stopped))
            self._reported = int(now)
        return [report for report in reports if report is not None]

    def status(self) -> dict[str, Any]:
        """Return the way of exploring, and whether a release was stopped, and why, in words."""
        stopped = [release for release in self._releases.values() if release.watch.stopped]
        why = "lists for units did worse than the release's own on this device" if stopped else None
        return {"rankings": self.terms.mode, "stopped": why}

    def _hash(self, unit: str) -> bytes:
        return hashlib.blake2b(unit.encode(), key=self._secret, digest_size=16).digest()


def _remembered(
    unit: HeldUnit,
    items: ItemRows,
    scale: float,
    order: Order,
    chances: ShownChances,
    clickable: float,
) -> PendingList:
    """What is needed of a list once its clicks come."""
    first = order[:PLACES]
    scores, features = items.scores[first], items.features[first]
    return PendingList(
        unit, items.source, items.basis, scale, items.prior, scores.astype(np.float32),
        features.astype(np.float32), chances, clickable, len(order),
    )  # fmt: skip


def _item_rewards(
    pending: PendingList, clicked: Collection[int] | None, reward: float | None
) -> Floats | None:
    """Rewards of the places that were read, or ``None`` where nothing says which were."""
    if clicked is not None:
        return examined_rewards(clicked, len(pending.scores))
    if reward is not None and pending.length == 1:
        return np.array([min(max(reward, 0.0), 1.0)])
    return None


def _any_click(expected: Floats) -> float:
    """Chance of a click on a list whose items have these chances, as if they were independent."""
    return float(1 - np.prod(1 - np.clip(expected, 0.0, 1.0)))


def _seconds(window: Window) -> int:
    return window.end - window.start
