"""The messages of windows that ended, of all that answers for a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body
    from edge_sdk.experiments.base import RunningExperiment
    from edge_sdk.personalise.model_personalisation import ModelPersonalisation
    from edge_sdk.serving.adapted_rankings import AdaptedRankings
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.telemetry.energy import EnergyInterval, EnergyUse
    from edge_sdk.telemetry.label_store import LabelStore


class ReportCollecting:
    """Methods of the releases of a model that keep their messages for the hub."""

    serving: Predictor | None
    running: RunningExperiment | None
    personal: ModelPersonalisation | None
    clock: Callable[[], float]
    _keep: Callable[[list[Body]], None]
    _energy: EnergyUse
    _label_store: LabelStore | None
    _lock: threading.RLock
    _collecting: threading.Lock
    _rankings: AdaptedRankings | None

    def _servings(self) -> Iterator[Predictor]:
        raise NotImplementedError

    def collect(self, *, final: bool = False) -> None:
        """Keep the messages of windows that ended (with ``final``, of all)."""
        now = self.clock()
        with self._collecting:
            interval = self._energy_interval(now, final=final)
            with self._lock:
                self._collect(now, interval, final=final)

    def _collect(self, now: float, interval: EnergyInterval | None, *, final: bool) -> None:
        running = self.running
        inside = set(running.servings()) if running is not None else set()
        if running is not None:
            self._keep(running.collect(now, final=final))
        for serving in self._servings():
            if serving in inside:
                continue
            bodies = serving.monitor.collect(now, final=final)
            if interval is not None and interval.who is serving:
                bodies = self._energy.charged(bodies, interval)
            self._keep(bodies)
        if self._rankings is not None:
            self._keep(self._rankings.collect(now, final=final))
        if self.personal is not None:
            self._keep(self.personal.collect(now))
        if self._label_store is not None:
            self._keep(self._label_store.collect())
            if self.serving is not None:
                every = self.serving.terms.reporting.window_seconds
                self._label_store.copy(self._servings(), every, final=final)

    def _energy_interval(self, now: float, *, final: bool) -> EnergyInterval | None:
        """The energy since the last window, if one ended, while what serves was alone."""
        serving = self.serving
        if serving is None:
            return None
        alone = serving if self.running is None else None
        return self._energy.collect(alone, window_of(serving, now), final=final)


def window_of(serving: Predictor, now: float) -> int:
    """The number of the window in which ``now`` is."""
    return int(now // serving.terms.reporting.window_seconds)
