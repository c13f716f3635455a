"""A run that makes a version has a prior fitted for it, before any device gets the version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cloud_hub.data.dataset import Dataset
from cloud_hub.hub import Hub
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import data, request

PERSONALISE = "personalise: {mode: on, unit_column: writer}\n"


def personal(hub: Hub) -> Hub:
    hub.registry.set_policy("demo", hub.registry.policy_text("demo") + PERSONALISE, "test")
    return hub


def of_writers(writers: int, each: int = 30) -> Dataset:
    """Labelled rows, and who wrote each: everybody has a threshold of their own."""
    rows = data(writers * each, 5)
    assert rows.labels is not None
    who = np.repeat(np.arange(writers), each)
    own = np.random.default_rng(3).normal(scale=2.0, size=writers)[who]
    labels = (rows.X[:, 0] + rows.X[:, 1] > own).astype(np.int64)
    columns = {f"x{i}": rows.X[:, i] for i in range(4)}
    table = pa.table({**columns, "y": labels, "writer": [f"writer {i}" for i in who]})
    return Dataset.read(table)


def test_the_first_plan_that_names_a_candidate_names_its_prior_too(ready: Ready) -> None:
    hub = personal(ready("good"))
    hub.datasets.add("demo", "units", of_writers(12), actor="test")
    run = request(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    plans = [plan for plan in hub.plans.history("demo") if plan.experiment is not None]
    assert plans
    record = hub.personalise.store.newest("demo")
    assert record is not None
    assert (record.version, record.source, record.actor) == ("2.0", "units@1", "hub")
    for plan in plans:
        assert plan.experiment is not None
        assert plan.experiment.arms[0].release.prior == record.ref


def test_a_fit_that_fails_stops_no_candidate(ready: Ready) -> None:
    hub = personal(ready("good"))
    hub.datasets.add("demo", "units", of_writers(1), actor="test")
    run = request(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    failed = hub.personalise.store.failure("demo", hub.registry.version("demo", "2.0").manifest)
    assert failed is not None
    assert "two units or more" in failed.reason


def test_without_a_data_set_that_names_units_nothing_is_fitted_and_nothing_said(
    ready: Ready,
) -> None:
    hub = personal(ready("good"))
    hub.datasets.add("demo", "holdout", data(200, 9), actor="test")
    run = request(hub)
    assert run.status == "experiment", run.reason
    hub.priors.tick(0.0)
    assert hub.personalise.store.records("demo") == []
    assert hub.personalise.status("demo").failures == {}
