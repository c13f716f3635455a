"""Several writes as one: all of them or none, and what follows only when they are on disk."""

from __future__ import annotations

import threading

import pytest

from cloud_hub.database.engine import afterwards, reading, transaction
from cloud_hub.hub import Hub
from tests.waiting import PATIENCE


def actions(hub: Hub) -> list[str]:
    return [entry.action for entry in hub.audit.entries()]


def test_what_is_written_within_a_transaction_is_kept_together(inner: Hub) -> None:
    with transaction(inner.engine):
        inner.audit.record("ann", "one", None)
        with transaction(inner.engine):
            inner.audit.record("ann", "two", None)
        assert actions(inner) == []  # a reader of its own sees nothing yet
    assert actions(inner) == ["one", "two"]


def test_an_error_takes_everything_back_and_nothing_follows(inner: Hub) -> None:
    followed: list[str] = []

    def failing() -> None:
        with transaction(inner.engine):
            with transaction(inner.engine):
                inner.audit.record("ann", "one", None)
                afterwards(inner.engine, lambda: followed.append("one"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert (actions(inner), followed) == ([], [])
    afterwards(inner.engine, lambda: followed.append("alone"))
    assert followed == ["alone"]


def test_what_follows_comes_in_order_when_all_is_on_disk(inner: Hub) -> None:
    seen: list[list[str]] = []
    with transaction(inner.engine):
        for name in ("one", "two"):
            inner.audit.record("ann", name, None)
            afterwards(inner.engine, lambda: seen.append(actions(inner)))
        assert seen == []
    assert seen == [["one", "two"]] * 2


def test_a_transaction_belongs_to_its_thread(inner: Hub) -> None:
    connections = []

    def other() -> None:
        with reading(inner.engine) as db:
            connections.append(db)

    with transaction(inner.engine) as own:
        with reading(inner.engine) as db:
            assert db is own
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(PATIENCE)
    assert connections[0] is not own


def test_a_plan_that_could_not_be_published_goes_out_in_the_loop(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(plan: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(serving.repository, "publish_plan", full)
        with pytest.raises(OSError, match="no space"):
            serving.plans.change("demo", lambda plan: plan, actor="ann", reason="new")
        serving.loop.tick(0.0)
        assert "no space left" in serving.loop.errors["plans"]
    plan = serving.plans.current("demo")
    assert plan is not None
    assert not serving.repository.has_plan(plan)
    serving.plans.tick(0.0)
    assert serving.repository.has_plan(plan)


def test_a_plan_that_was_written_and_not_sealed_is_not_taken_for_published(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the plans and the timestamp, from which devices find them."""
    with monkeypatch.context() as patch:
        patch.setattr(serving.repository, "_seal", lambda *_: None)
        serving.plans.change("demo", lambda plan: plan, actor="ann", reason="new")
    plan = serving.plans.current("demo")
    assert plan is not None
    assert not serving.repository.has_plan(plan)
    serving.plans.republish("demo")
    assert serving.repository.has_plan(plan)
