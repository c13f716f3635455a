"""A hub whose model can be retrained."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.hub import Hub
from converters import convert
from tests.hub.runs.retraining import GROUPS, POLICY, ROOT, data, share

Ready = Callable[..., Hub]


@pytest.fixture
def ready(inner: Hub, tmp_path: Path) -> Ready:
    """A hub that serves a poor model, with a policy that trains; fresh rows were shared."""

    def make(
        entry: str = "",
        mode: str = "stateless",
        extra: str = "",
        *,
        how: str = "",
        rows: int = 300,
        path: Path | None = None,
    ) -> Hub:
        first = data(300, 1)
        poor = LogisticRegression().fit(first.X[:, ::-1], first.labels)
        release = convert(
            poor, first.X, None, name="demo", out=tmp_path / "demo-1.0", groups=GROUPS
        )
        inner.registry.publish(release, actor="test", training_state=pickle.dumps(poor))
        inner.plans.promote("demo", "1.0", actor="test", reason="first")
        how = how or f"entry: tests.hub.runs.trainers:{entry}"
        inner.registry.set_policy(
            "demo", POLICY.format(how=how, mode=mode, extra=extra, path=path or ROOT), "test"
        )
        if rows:
            share(inner, rows)
        return inner

    return make
