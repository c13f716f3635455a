"""Simulated time: window by window devices report, gates and triggers look, plans change.

A window has this order: versions that are due are tried; devices that are online report what they
answered since they last did; whoever is online hears of the plan and takes its version; the gate of
the experiment looks, then the triggers. So a decision reaches devices in the window after it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from cloud_hub.experiments.policy_defaults import spec_of
from cloud_hub.policy.schema.sections import Policy
from cloud_hub.simulate.drawing import TrueRates, draw_requests, draw_window, true_rates
from cloud_hub.simulate.firing import SimulatedTriggers, not_simulated
from cloud_hub.simulate.harm import HarmMeter
from cloud_hub.simulate.load import LoadMeter, arithmetic
from cloud_hub.simulate.outcome import Simulated, SimulatedEvent
from cloud_hub.simulate.population import Places, draw_population, online_shares
from cloud_hub.simulate.scenario import BEGIN, HOUR, Scenario, SimulatedVersion
from cloud_hub.simulate.trial import SimulatedTrial, check_simulated
from edge_sdk.contract.names import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_hub.experiments.verdict.spec import ExperimentSpec

MOST_VERSIONS: Final = 200
"""Versions of one simulation, those that runs make included."""


class World:
    """One simulation of a scenario under a policy.

    Args:
        scenario: the fleet, and the truth about its versions.
        policy: as the hub takes it.
        experiment: how its candidates are tried; the policy's own where it is left out.
        seed: of all that is drawn.
        progress: is told the share of the windows that are done, now and then.
    """

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        experiment: ExperimentSpec | None = None,
        *,
        seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.scenario, self.policy, self.experiment, self.seed = scenario, policy, experiment, seed
        self._progress = progress
        # Each of these draws for itself: under another policy the fleet and its days are the same.
        people, days, reports, rules = np.random.SeedSequence(seed).spawn(4)
        self.population = draw_population(scenario, np.random.default_rng(people))
        self._days = np.random.Generator(np.random.SFC64(days))
        self._rng = np.random.Generator(np.random.SFC64(reports))
        self._triggers = SimulatedTriggers(
            policy, self.population, scenario.labels, np.random.default_rng(rules)
        )
        self.versions = list(scenario.versions)
        self.serving = self._number(scenario.serving)
        count = len(self.population)
        self._on = np.full(count, self.serving, dtype=np.uint8)
        self._target = self._on.copy()
        self._silent = np.zeros(count, dtype=np.uint16)
        self._held = np.zeros(count, dtype=np.int32)
        self._behind = np.zeros(count, dtype=np.bool_)
        self._refused: dict[int, NDArray[np.bool_]] = {}
        self._since = BEGIN
        self.trial: SimulatedTrial | None = None
        self._first: SimulatedTrial | None = None
        self._approved_at = 0.0
        self._trials = 0
        self._runs: list[tuple[float, SimulatedVersion]] = []
        self._load, self._harm = LoadMeter(scenario), HarmMeter(scenario, policy)
        self.events: list[SimulatedEvent] = []
        self._series: list[tuple[float, tuple[int, ...]]] = []
        self._due = sorted(
            (v.released_seconds, v.version)
            for v in scenario.versions
            if v.released_seconds is not None
        )
        self._check()

    def _check(self) -> None:
        spec = self.experiment
        if spec is None:
            return
        check_simulated(spec)
        missing = [a.version for a in spec.tried if self.scenario.version(a.version) is None]
        if missing:
            raise Invalid(f"versions: the experiment tries {missing}; say how good they truly are")
        if spec.model != self.scenario.model:
            raise Invalid(f"model: the experiment is of {spec.model}, not {self.scenario.model}")
        if not any(version in {a.version for a in spec.tried} for _, version in self._due):
            raise Invalid(f"versions: say when {spec.versions} is released, such as released: 1d")

    def run(self) -> Simulated:
        """Go through all windows."""
        seconds = self.scenario.window_seconds
        windows = int(self.scenario.duration_seconds / seconds)
        for i in range(windows):
            self._window(i * seconds, (i + 1) * seconds)
            if self._progress is not None and i % max(1, windows // 100) == 0:
                self._progress(i / windows)
        return self._result()

    def _window(self, begin: float, end: float) -> None:
        self._release(begin)
        rates = [true_rates(self.scenario, version, begin) for version in self.versions]
        shares = online_shares(self.scenario, BEGIN + begin)
        online = self._days.random(len(self.population), dtype=np.float32)
        here = online < shares[self.population.cohort]
        self._silent += 1
        reports = int(self._silent[here].sum(dtype=np.int64))
        self._silent[here] = 0
        self._report(here, rates, end)
        moved, told = self._move(here, rates)
        counts = self._counts()
        self._harm.add(counts, rates, (end - begin) / HOUR)
        self._load.add(end, int(here.sum()), moved, told, reports)
        self._series.append((end, tuple(counts.sum(axis=0).tolist())))
        self._decide(end)
        self._fire(end)

    def _counts(self) -> NDArray[np.int64]:
        """Devices by cohort and version, [cohorts, versions]."""
        cohorts, versions = len(self.scenario.cohorts), len(self.versions)
        cells = self.population.cohort.astype(np.int64) * versions + self._on
        return np.bincount(cells, minlength=cohorts * versions).reshape(cohorts, versions)

    # ------------------------------------------------------------------ what devices do

    def _report(self, here: NDArray[np.bool_], rates: list[TrueRates], end: float) -> None:
        hours, now = self.scenario.window_seconds / HOUR, BEGIN + end
        trial = self.trial
        if trial is not None:
            for number, version in enumerate(trial.versions):
                kind = self._number(version)
                seated = np.flatnonzero((trial.arm == number) & (self._on == kind))
                self._held[seated] += draw_requests(self.population, seated, hours, self._rng)
                index = seated[here[seated]]
                asked, self._held[index] = self._held[index], 0
                drawn = draw_window(
                    self.scenario, self.population, index, asked, rates[kind], self._rng,
                    candidate=number > 0,
                )  # fmt: skip
                trial.told(number, drawn, rates[kind], now, self._rng)
        if self._triggers.needs_labels:
            self._hear(here, rates[self.serving], end, hours)

    def _hear(self, here: NDArray[np.bool_], rates: TrueRates, end: float, hours: float) -> None:
        """Labels of the version that serves, of the devices that rules hear."""
        places = self._triggers.places
        index = places[here[places] & (self._on[places] == self.serving)]
        asked = draw_requests(self.population, index, hours, self._rng)
        drawn = draw_window(
            self.scenario, self.population, index, asked, rates, self._rng, candidate=False
        )
        now = BEGIN + end
        self._triggers.add(drawn, now - self.scenario.window_seconds, now)

    def _move(self, here: NDArray[np.bool_], rates: list[TrueRates]) -> tuple[int, int]:
        """Whoever hears of the plan takes its version; how many did, and heard of a new plan."""
        scenario = self.scenario
        hears = min(1.0, scenario.window_seconds / scenario.poll_seconds)
        if hears < 1:
            here = here & (self._days.random(len(here), dtype=np.float32) < hears)
        told = int(np.count_nonzero(here & self._behind))
        self._behind[here] = False
        movers = np.flatnonzero(here & (self._on != self._target))
        moved = 0
        for kind in np.unique(self._target[movers]).tolist():
            chosen = movers[self._target[movers] == kind]
            if (refused := self._refused.get(kind)) is not None:
                chosen = chosen[~refused[chosen]]
            moved += len(chosen)
            self._install(chosen, kind, rates[kind])
        return moved, told

    def _install(self, index: Places, kind: int, rates: TrueRates) -> None:
        chance = rates.installs[self.population.cohort[index]]
        fails = self._rng.random(len(index)) < chance
        bad, good = index[fails], index[~fails]
        self._on[good] = kind
        self._held[good] = 0
        if len(bad):
            refused = self._refused.setdefault(kind, np.zeros(len(self._on), dtype=np.bool_))
            refused[bad] = True
        if self.trial is not None:
            self.trial.installed(self.versions[kind].version, good, bad)

    # ------------------------------------------------------------------ what the hub does

    def _release(self, seconds: float) -> None:
        """Try the versions that are due, one experiment after the other."""
        done = [v for at, v in self._runs if at <= seconds]
        self._runs = [(at, v) for at, v in self._runs if at > seconds]
        for version in done:
            self.versions.append(version)
            self._say(seconds, "released", version.version, "", "by a run")
            self._due.append((seconds, version.version))
        if self.trial is None and self._due and (self._due[0][0] or 0.0) <= seconds:
            _, version = self._due.pop(0)
            spec = self._spec(version)
            self._due = [d for d in self._due if d[1] not in {a.version for a in spec.tried}]
            if version != self.versions[self.serving].version:
                self._start(spec, seconds)

    def _spec(self, version: str) -> ExperimentSpec:
        given = self.experiment
        if given is not None and version in {arm.version for arm in given.tried}:
            return given
        spec = spec_of(self.scenario.model, version, self.policy.experiment)
        check_simulated(spec)
        return spec

    def _start(self, spec: ExperimentSpec, seconds: float) -> None:
        self._trials += 1
        serving = self.versions[self.serving].version
        self.trial = SimulatedTrial(
            spec, self._trials, serving, self.population, self.scenario.labels, BEGIN + seconds
        )
        self._first = self._first or self.trial
        for arm in spec.tried:
            self._harm.replaces(self._number(arm.version), self.serving)
        self._plan()
        self._say(seconds, "started", self.trial.id, self.trial.place, spec.versions)

    def _plan(self) -> None:
        """A new plan: who gets which version from now on."""
        self._target[:] = self.serving
        trial = self.trial
        if trial is not None:
            for number, version in enumerate(trial.versions):
                kind = self._number(version)
                if number:
                    # Who is in stays in while it is paused, and nobody enters.
                    inside = self._on == kind if trial.trial.paused else True
                    self._target[(trial.target == number) & inside] = kind
        self._behind[:] = True
        self._held[self._on != self._target] = 0

    def _decide(self, end: float) -> None:
        trial, now = self.trial, BEGIN + end
        if trial is None:
            return
        place = trial.place
        decision = trial.look(now, self._rng)
        word = trial.follow(decision, now)
        if word:
            self._say(end, word, trial.id, place, decision.reason)
        approves = self.scenario.approval_seconds
        if trial.status == "waiting" and approves is not None:
            if word == "waiting":
                self._approved_at = end + approves
            if end >= self._approved_at:
                trial.promote()
                self._say(end, "promoted", trial.id, place, "by a person")
                word = "promoted"
        if not word:
            return
        if not trial.open:
            self.trial = None
        if trial.status == "promoted":
            self.serving, self._since = self._number(trial.promoted), now
            self._triggers.begin_version()
        self._plan()

    def _fire(self, end: float) -> None:
        if not self._triggers.rules:
            return
        serving = self.versions[self.serving]
        now = BEGIN + end
        for rule, evidence in self._triggers.look(now, self._since, serving.version):
            self._say(end, "fired", rule.name, serving.version, evidence)
            if self.policy.train is None or len(self.versions) >= MOST_VERSIONS:
                continue
            made = self._retrained(serving, end, rule.mode or self.policy.train.mode)
            if not self.scenario.retraining.follows:
                self._say(end, "run", made.version, rule.name, "its gate refuses the candidate")
                continue
            ready = end + self.scenario.retraining.lasts_seconds
            self._runs.append((ready, made))
            self._say(end, "run", made.version, rule.name, "trains the next version")

    def _retrained(self, serving: SimulatedVersion, end: float, mode: str) -> SimulatedVersion:
        """The version that a run makes: it has learnt what changed until now."""
        taken = {v.version for v in (*self.versions, *(v for _, v in self._runs))}
        parsed = Version.parse(serving.version)
        major, minor = parsed.major, parsed.minor
        while f"{major}.{minor}" in taken:
            major, minor = (major, minor + 1) if mode == "stateful" else (major + 1, 0)
        accuracy = self.scenario.retraining.accuracy
        return replace(
            serving, version=f"{major}.{minor}", released_seconds=None,
            accuracy=serving.accuracy if accuracy is None else accuracy,
            changes=tuple(c for c in serving.changes if c.at_seconds > end),
        )  # fmt: skip

    def _number(self, version: str) -> int:
        return next(i for i, each in enumerate(self.versions) if each.version == version)

    def _say(self, at: float, what: str, subject: str, where: str, reason: str) -> None:
        self.events.append(SimulatedEvent(at, what, subject, where, reason))

    def _result(self) -> Simulated:
        load, first = self._load.load(), self._first
        left_out = [f"rule {name}: {why}" for name, why in not_simulated(self.policy).items()]
        names = tuple(version.version for version in self.versions)
        padded = [(at, row + (0,) * (len(names) - len(row))) for at, row in self._series]
        return Simulated(
            self.scenario.model, self.scenario.devices, self.scenario.duration_seconds, self.seed,
            self.scenario.serving,
            f"{first.status} at {first.place}" if first else "no experiment",
            tuple(self.events), names, tuple(padded), tuple(self._load.polls),
            self._harm.harm(names), self._harm.exposed(names), load, self._harm.requests,
            self._harm.failures, arithmetic(self.scenario, load), tuple(left_out),
        )  # fmt: skip


def simulate(
    scenario: Scenario, policy: Policy, experiment: ExperimentSpec | None = None, *, seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Simulated:  # fmt: skip
    """Run a scenario under a policy; see :class:`World`.

    Raises:
        Invalid: the experiment is of a kind, or of versions, that the scenario says nothing of.
    """
    return World(scenario, policy, experiment, seed=seed, progress=progress).run()
