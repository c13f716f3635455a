"""A hub whose model can be retrained."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.hub import Hub
from converters import convert
from edge_sdk.model.release import Release
from tests.hub.runs.retraining import CODE, GROUPS, POLICY, data, share

Ready = Callable[..., Hub]


@dataclass(frozen=True)
class Poor:
    """A model that answers badly, and the training that made it."""

    release: Release
    state: bytes


@pytest.fixture(scope="session")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Poor:
    first = data(300, 1)
    model = LogisticRegression().fit(first.X[:, ::-1], first.labels)
    out = tmp_path_factory.mktemp("poor") / "demo-1.0"
    release = convert(model, first.X, None, name="demo", out=out, groups=GROUPS)
    return Poor(release, pickle.dumps(model))


def prepare(
    hub: Hub,
    poor: Poor,
    entry: str = "",
    mode: str = "stateless",
    extra: str = "",
    *,
    how: str = "",
    rows: int = 300,
    path: Path | None = None,
) -> Hub:
    """Let a hub serve a poor model, with a policy that trains; fresh rows were shared."""
    hub.registry.publish(poor.release, actor="test", training_state=poor.state)
    hub.plans.promote("demo", "1.0", actor="test", reason="first")
    how = how or f"entry: trainers:{entry}"
    policy = POLICY.format(how=how, mode=mode, extra=extra, path=path or CODE)
    hub.registry.set_policy("demo", policy, "test")
    if rows:
        share(hub, rows)
    return hub


@pytest.fixture
def ready(inner: Hub, poor: Poor) -> Ready:
    """Prepares a hub; see :func:`prepare`."""
    return functools.partial(prepare, inner, poor)
