"""When the cloud is asked, how long a call waits for it, and what is served without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.manifest import Cascade
from edge_sdk.contract.messages import FeedbackReport
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting
from edge_sdk.errors import ContractError, HubUnreachable
from edge_sdk.serving.cascade import CircuitBreaker, confidence, is_confident, rule
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.builders import make_release, rows


class Cloud:
    """Answers class 2; ``away`` makes it unreachable. Remembers the deadlines that it was given."""

    def __init__(self) -> None:
        self.away = False
        self.deadlines: list[float] = []

    def __call__(self, request: CloudRequest, deadline: float) -> CloudReply:
        self.deadlines.append(deadline)
        if self.away:
            raise HubUnreachable("away")
        return CloudReply("7.0", 2, (0.1, 0.1, 0.8))


def serving(tmp_path: Path, cloud: Cloud, policy: CascadePolicy, **options: Any) -> Predictor:
    release = make_release(tmp_path, **options)
    terms = ServingTerms(
        reporting=Reporting(window_seconds=60, minimum_observations=1), cascade=policy
    )
    return Predictor(release, terms, tag="t", cloud=cloud, clock=Clock())


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.5, 0.3, 0.2), (0.5, 0.2, 0.0627)),
        ((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ((1 / 3, 1 / 3, 1 / 3), (1 / 3, 0.0, 0.0)),
        ((1.0,), (1.0, 1.0, 1.0)),
    ],
)
def test_each_metric_says_how_sure_an_answer_is(
    probabilities: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    found = [confidence(probabilities, m) for m in ("max_probability", "margin", "entropy")]
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("bad", [(), (np.nan, 0.9), (0.1, np.inf), (np.nan, np.nan)])
@pytest.mark.parametrize("metric", ["max_probability", "margin", "entropy"])
def test_an_empty_or_non_finite_answer_is_hard_whatever_the_threshold(
    bad: tuple[float, ...], metric: str
) -> None:
    assert not is_confident(bad, metric, 0.0)
    assert not is_confident(np.array(bad), metric, -1.0)


CERTIFIED = Cascade(0.7, "margin")


@pytest.mark.parametrize(
    ("cascade", "policy", "expected"),
    [
        (CERTIFIED, CascadePolicy(), (False, 0.7, "margin")),
        (None, CascadePolicy(), (False, None, "max_probability")),
        (CERTIFIED, CascadePolicy("local"), (False, None, "max_probability")),
        (CERTIFIED, CascadePolicy("cloud"), (True, None, "max_probability")),
        (CERTIFIED, CascadePolicy(threshold=0.9), (False, 0.9, "margin")),
        (CERTIFIED, CascadePolicy(threshold=0.9, metric="entropy"), (False, 0.9, "entropy")),
        (CERTIFIED, CascadePolicy(metric="entropy"), (False, None, "max_probability")),
        (None, CascadePolicy(threshold=0.4), (False, 0.4, "max_probability")),
    ],
)
def test_the_plan_goes_over_what_was_certified(
    cascade: Cascade | None, policy: CascadePolicy, expected: tuple[Any, ...]
) -> None:
    found = rule(cascade, policy)
    assert (found.first, found.threshold, found.metric) == expected


def test_cloud_first_does_not_ask_the_model_and_falls_back_on_it(tmp_path: Path) -> None:
    cloud = Cloud()
    device = serving(tmp_path, cloud, CascadePolicy("cloud"))
    served = device.predict(rows(1)[0])
    assert (served.source, served.version, served.label) == ("cloud", "7.0", 2)
    device.feedback(served.id.rpartition("-")[2], label=2)
    (report,) = [
        b for b in device.monitor.collect(0.0, final=True) if isinstance(b, FeedbackReport)
    ]
    assert (report.labelled, report.own_labelled) == (1, 0)
    cloud.away = True
    fallen = device.predict(rows(1)[0])
    assert (fallen.source, fallen.version, fallen.degraded) == ("model", "1.0", True)


def test_a_call_may_shorten_its_wait_or_forbid_it(tmp_path: Path) -> None:
    cloud = Cloud()
    device = serving(tmp_path, cloud, CascadePolicy(threshold=2.0, deadline_ms=400))
    x = rows(1)[0]
    assert device.predict(x).source == "cloud"
    assert device.predict_any(x, deadline_ms=50).source == "cloud"
    without = device.predict_any(x, deadline_ms=0)
    assert (without.source, without.degraded) == ("model", True)
    assert cloud.deadlines == [0.4, 0.05]


def test_a_forbidden_wait_does_not_open_the_breaker(tmp_path: Path) -> None:
    device = serving(tmp_path, Cloud(), CascadePolicy(threshold=2.0))
    for _ in range(10):
        device.predict_any(rows(1)[0], deadline_ms=0)
    assert device.predict(rows(1)[0]).source == "cloud"


def test_the_breaker_lets_one_call_through_per_pause_and_closes_on_success() -> None:
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0], failures=2, pause=10.0)
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert [breaker.allows() for _ in range(3)] == [False] * 3
    now[0] = 10.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    now[0] = 19.9
    assert not breaker.allows()
    now[0] = 20.0
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_a_policy_without_any_wait_is_refused() -> None:
    with pytest.raises(ContractError, match="deadline_ms"):
        CascadePolicy(deadline_ms=0)
