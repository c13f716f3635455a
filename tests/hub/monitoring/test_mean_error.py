"""How far off numbers are, from devices to alarms and triggers: sums of errors of late labels."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub
from cloud_hub.monitoring import mean_error
from cloud_hub.monitoring.store import MeanError
from cloud_hub.plans.error_bound import largest_error
from cloud_hub.policy.schema import Condition, PerformanceRule, parse_policy
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.fleet_windows import DeviceErrors
from cloud_hub.triggers import conditions
from cloud_hub.triggers.evidence import MeanErrorEvidence
from cloud_hub.triggers.facts import ErrorCounts, Facts, VersionFacts
from cloud_hub.triggers.history import Histories
from converters import convert
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload, kind_of
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.hub.enrolled import long_ago
from tests.simulated_device import enrolled

MODEL, WINDOW, DEVICES, ROWS = "numbers", 60, 3, 200
BEGIN = 1_700_000_040  # a whole minute
X = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
Y = X @ [1.0, -2.0, 0.5]
POLICY = "reporting: {window: 60s, votes: 0}\nmonitoring: {outputs: false}\n"


@dataclass
class Fleet:
    """Real devices without a network, under the plan that the hub made."""

    hub: Hub
    folder: Path
    now: float = BEGIN

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(1)
        self._sequence = itertools.count(1)
        model = LinearRegression().fit(X, Y)
        release = convert(model, X, Y, name=MODEL, out=self.folder, variants=("float32",))
        self.hub.registry.publish(release, actor="test")
        self.hub.policies.apply(MODEL, POLICY, actor="test")
        self.hub.plans.promote(MODEL, "1.0", actor="test", reason="first")
        plan = self.hub.plans.current(MODEL)
        assert plan is not None
        self.reporting = plan.reporting
        terms = ServingTerms(reporting=replace(self.reporting, minimum_observations=100))
        token = self.hub.fleet.new_token(MODEL, uses=DEVICES, seconds=60, actor="test")
        self.devices = {
            enrolled(self.hub, token, model=MODEL): Predictor(
                release, terms, tag=f"t{i}", clock=lambda: self.now
            )
            for i in range(DEVICES)
        }
        long_ago(self.hub)

    def window(self, number: int, scale: float) -> list[str]:
        """Every device hears of labels that differ by ``scale`` (standard deviation)."""
        self.now = BEGIN + number * WINDOW
        for name, device in self.devices.items():
            x = self.random.standard_normal((ROWS, 3)).astype(np.float32)
            off = self.random.normal(0.0, scale, ROWS)
            batch = device.predict_batch(x)
            assert batch.values is not None
            for prediction, value, more in zip(batch.ids, batch.values, off, strict=True):
                number_of = prediction.rpartition("-")[2]
                device.feedback(number_of, label=float(value + more))
            self.now += WINDOW
            bodies = device.monitor.collect(self.now)
            messages = [
                Message("b1", next(self._sequence), kind_of(b), to_plain(b)) for b in bodies
            ]
            reply = self.hub.telemetry.ingest(
                EnrolledDevice(name, (MODEL,)), Upload(tuple(messages))
            )
            assert not reply.rejected, reply.rejected
            self.now -= WINDOW
        at = BEGIN + (number + 1) * WINDOW + 151.0
        return [alarm.signal for alarm in self.hub.monitoring.tick(at)]


@pytest.fixture
def fleet(inner: Hub, tmp_path: Path) -> Fleet:
    return Fleet(inner, tmp_path / "r")


def test_errors_that_grow_are_an_alarm_until_somebody_says_that_they_are_normal(
    fleet: Fleet,
) -> None:
    hub = fleet.hub
    assert fleet.reporting.largest_error == pytest.approx(Y.max() - Y.min(), rel=0.1)
    raised = [signal for n in range(4) for signal in fleet.window(n, 0.5)]
    assert "concept:mae" not in raised
    quiet = hub.monitoring.history(MODEL, signal="concept:mae")[-1].figures
    assert quiet["mae"] == pytest.approx(0.4, rel=0.1)
    assert quiet["base_mae"] == pytest.approx(0.41, rel=0.1)
    raised = [signal for n in range(4, 8) for signal in fleet.window(n, 2.0)]
    assert raised.count("concept:mae") == 1
    (alarm,) = [a for a in hub.monitoring.alarms(MODEL) if a.signal == "concept:mae"]
    assert alarm.kind == "concept"
    assert alarm.evidence["mae"] == pytest.approx(1.6, rel=0.15)
    hub.monitoring.acknowledge(MODEL, "concept:mae", actor="anna", rebase=True)
    assert "concept:mae" not in [s for n in range(8, 12) for s in fleet.window(n, 0.7)]

    windows = hub.telemetry.windows(MODEL)
    assert [w.measured for w in windows] == [DEVICES * ROWS] * 12
    assert windows[0].mae == pytest.approx(0.4, rel=0.1)
    assert windows[0].rmse == pytest.approx(0.5, rel=0.1)

    history = Histories(hub.engine, hub.registry).load(MODEL, since=0.0)
    facts = history.at(time.time() + 86_400)
    assert facts is not None
    fires = conditions.judge(Condition(performance=PerformanceRule(mae_above=0.5)), facts)
    assert fires.fired
    assert isinstance(fires.evidence, MeanErrorEvidence)
    assert fires.evidence.measured == 12 * DEVICES * ROWS
    never = conditions.judge(Condition(performance=PerformanceRule(mae_above=3.0)), facts)
    assert not never.fired

    total = sum(w.measured * (w.mae or 0.0) for w in windows)
    retention.clean(hub.engine, MODEL, BEGIN + 10 * 86_400.0, Retention())
    (rolled,) = hub.telemetry.windows(MODEL)
    assert rolled.measured == 12 * DEVICES * ROWS
    assert rolled.measured * (rolled.mae or 0.0) == pytest.approx(total)


def test_a_policy_may_say_how_much_an_error_counts(fleet: Fleet) -> None:
    text = POLICY.replace("votes: 0", "votes: 0, largest_error: 3.5")
    fleet.hub.policies.apply(MODEL, text, actor="test")
    plan = fleet.hub.plans.current(MODEL)
    assert plan is not None
    assert plan.reporting.largest_error == 3.5


def facts_of(windows: list[tuple[float, float]], largest: float | None) -> Facts:
    errors = tuple(ErrorCounts(60.0 * i, *window, 60.0 * i) for i, window in enumerate(windows))
    serving = VersionFacts("1.0", 0.0, 1_000, errors=errors, largest_error=largest)
    return Facts(1e6, 0.0, serving, errors=errors)


CANNOT = {
    "no bound": (facts_of([(5_000, 4_000)], None), 1.0, "no bound of an error"),
    "a limit that no error reaches": (facts_of([(5_000, 4_000)], 10.0), 9.5, "at most"),
    "no labels": (facts_of([], 10.0), 1.0, "no label"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_judged_never_fires_and_says_why(case: str) -> None:
    facts, limit, why = CANNOT[case]
    verdict = conditions.judge(Condition(performance=PerformanceRule(mae_above=limit)), facts)
    assert not verdict.fired
    assert isinstance(verdict.evidence, MeanErrorEvidence)
    assert why in (verdict.evidence.note or "")


def test_a_mean_error_at_its_limit_does_not_fire_in_a_year_of_looks() -> None:
    """A day has 2,000 labels, half of the errors nothing and half twice the limit: the worst case
    of a mean error of 1 of 10. A false alarm has a chance of 0.37 a year by the stated mean run.
    """
    random, runs, fired = np.random.default_rng(5), 40, 0
    rule = Condition(performance=PerformanceRule(mae_above=1.0))
    for _ in range(runs):
        days = [(2_000.0, float(random.binomial(2_000, 0.5)) * 0.2) for _ in range(365)]
        fired += conditions.judge(rule, facts_of(days, 10.0)).fired
    # At the bound itself more than 23 of 40 have a chance of 0.005; what is seen is none.
    assert fired <= 5


POLICIES = {
    "both": ("performance: {below: 0.9, mae_above: 2}", "either below"),
    "neither": ("performance: {minimum: 9}", "either below"),
    "no limit": ("performance: {mae_above: 0}", "mae_above: expected more than 0"),
    "of groups": ("performance: {mae_above: 2, by: sex}", "by: groups have accuracies"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_rules_that_mean_nothing_are_refused(case: str) -> None:
    when, message = POLICIES[case]
    with pytest.raises(Invalid, match=message):
        parse_policy(f"triggers:\n- name: worse\n  when: {{{when}}}\n")


EXPERIMENTS = {
    "no margin": ("metric: mae", "how far mae may rise, in the unit of the target"),
    "rmse in shadow": ("strategy: shadow, metric: rmse, margin: 1", "paired one by one"),
    "interleaved": ("strategy: interleave, metric: mae, margin: 1", "sessions won"),
    "accuracy by more than half": ("margin: 0.7", "margin: expected 0 to below 0.5"),
}


@pytest.mark.parametrize("case", EXPERIMENTS)
def test_experiments_that_no_error_can_judge_are_refused(case: str) -> None:
    section, message = EXPERIMENTS[case]
    with pytest.raises(Invalid, match=message):
        parse_policy(f"experiment: {{{section}}}\n")
    assert parse_policy("experiment: {metric: rmse, margin: 2.5}\n").experiment.acceptable == 2.5


def profile_of(*edges: float) -> ReferenceProfile:
    value = FeatureProfile("value", (1,) * (max(1, len(edges) - 1) + 2), edges=edges)
    return ReferenceProfile(1, (), (value,))


BOUNDS = [
    (profile_of(0.0, 5.0, 9.0), 0.81, 10.0),  # answers span nine tenths of the targets
    (profile_of(0.0, 5.0, 9.0), None, 9.0),
    (profile_of(0.0, 9.0), -2.0, 45.0),  # of a model that explains nothing, no more than five times
    (profile_of(0.0, 9.0), float("nan"), 45.0),
    (profile_of(4.0), 0.9, None),  # one answer for everything
    (ReferenceProfile(1, (), ()), 0.9, None),
]


@pytest.mark.parametrize(("profile", "score", "expected"), BOUNDS)
def test_the_largest_error_is_the_range_of_the_targets(
    profile: ReferenceProfile, score: float | None, expected: float | None
) -> None:
    assert largest_error(profile, score) == expected


def test_a_bound_that_changes_begins_anew() -> None:
    rows = [DeviceErrors(f"d{i}", 0, 300, 300.0, 400.0) for i in range(4)]
    state, _ = mean_error.score(MeanError(), rows, 10.0, 2e6)
    assert state.base is not None
    again, finding = mean_error.score(state, rows, 20.0, 2e6)
    assert (again.largest, finding.figures.base_mae) == (20.0, None)


def test_one_device_whose_numbers_are_far_off_raises_nothing_alone() -> None:
    healthy = [DeviceErrors(f"d{i}", 0, 100, 100.0, 130.0) for i in range(20)]
    state, _ = mean_error.score(MeanError(), healthy, 10.0, 2e6)
    bad = [
        DeviceErrors("d0", 60, 100_000, 1e12, 1e22),
        *(r._replace(start=60) for r in healthy[1:]),
    ]
    _, finding = mean_error.score(state, bad, 10.0, 2e6)
    assert finding.figures.mae > 10  # what it said is shown
    weighed = 1_000 * 10 + 19 * 100
    assert state.shares <= (2_000 + weighed) / 10
