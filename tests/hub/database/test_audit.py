"""The audit log, cut to what somebody looks for."""

from __future__ import annotations

import pytest

from cloud_hub.hub import Hub


def test_entries_are_cut_by_model_time_and_number(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, model in ((10.0, "a"), (20.0, "b"), (30.0, "a"), (40.0, None)):
        monkeypatch.setattr("cloud_hub.database.audit.time.time", lambda at=at: at)
        inner.audit.record("ann", f"at {at:g}", model, {"x": 1})
    monkeypatch.undo()

    def actions(**options: object) -> list[str]:
        return [entry.action for entry in inner.audit.entries(**options)]  # type: ignore[arg-type]

    assert actions() == ["at 10", "at 20", "at 30", "at 40"]
    assert actions(model="a") == ["at 10", "at 30"]
    assert actions(since=20.0) == ["at 20", "at 30", "at 40"]
    assert actions(limit=1) == ["at 40"]
    assert actions(model="a", since=20.0, limit=5) == ["at 30"]
    assert inner.audit.entries("b")[0].detail == {"x": 1}
