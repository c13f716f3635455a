"""Sets of sessions on the hub: what is declared reaches plans, and what contradicts is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.features.declaration import parse_set
from cloud_hub.features.set_history import SetHistory
from cloud_hub.features.snapshot import digests_in, read_session_sets, read_snapshot
from cloud_hub.features.training import TrainingFeatures
from cloud_hub.hub import Hub
from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.contract.plan import Plan
from tests.hub.features import shop
from tests.hub.features.sessions import TEXT, log


def planned(hub: Hub) -> SessionFeatures | None:
    plan = hub.plans.current("demo")
    assert plan is not None
    # As a device gets it: signed, and read again.
    return Plan.from_json(plan.to_json()).sessions


def test_what_is_declared_is_in_the_next_plan_and_stays_in_later_ones(serving: Hub) -> None:
    assert planned(serving) is None
    stored = serving.feature_sets.apply(TEXT, actor="test")
    now = planned(serving)
    assert now == parse_set(TEXT).sessions_at(1)
    assert now is not None
    assert (now.ref, now.idle_seconds, now.sessions) == (stored.ref, 600.0, 500)
    assert (now.memory_bytes, now.kept) == (4_000_000, True)
    assert [f.kind for f in now.features] == ["count", "mean", "count", "last"]
    assert (now.features[1].half_life_seconds, now.features[2].window_seconds) == (60.0, 300.0)
    serving.plans.change("demo", lambda plan: plan, actor="test", reason="another change")
    assert planned(serving) == now


def test_a_change_makes_the_next_version_and_the_same_text_makes_no_plan(serving: Hub) -> None:
    serving.feature_sets.apply(TEXT, actor="test")
    plan = serving.plans.current("demo")
    serving.feature_sets.apply(TEXT, actor="test")
    serving.feature_sets.tick(0.0)
    assert serving.plans.current("demo") == plan
    serving.feature_sets.apply(TEXT.replace("idle: 10m", "idle: 1h"), actor="test")
    now = planned(serving)
    assert now is not None
    assert (now.version, now.idle_seconds) == (2, 3_600.0)


def test_a_model_that_is_named_no_more_has_none_in_its_next_plan(serving: Hub) -> None:
    serving.feature_sets.apply(TEXT, actor="test")
    serving.feature_sets.apply(TEXT.replace("models: [demo]", "models: []"), actor="test")
    assert planned(serving) is None


def test_a_hub_that_was_killed_before_the_plan_gives_it_at_its_next_tick(serving: Hub) -> None:
    sets = serving.feature_sets
    sets.history.declare(TEXT, actor="test", now=0.0)
    assert planned(serving) is None
    sets.tick(0.0)
    assert planned(serving) is not None
    sets.history.declare(TEXT.replace("[demo]", "[]"), actor="test", now=0.0)
    sets.tick(0.0)
    assert planned(serving) is None


def test_a_plan_that_comes_at_the_same_moment_is_no_failure(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_meanwhile(*_: object, **__: object) -> None:
        raise Conflict("demo: the plan changed meanwhile, try again")

    with monkeypatch.context() as patch:
        patch.setattr(serving.plans, "change", changed_meanwhile)
        assert serving.feature_sets.apply(TEXT, actor="test").ref == "visit@1"
    assert planned(serving) is None
    serving.feature_sets.tick(0.0)
    assert planned(serving) is not None


def test_a_set_of_sessions_has_no_rows(serving: Hub) -> None:
    sets = serving.feature_sets
    sets.apply(TEXT, actor="test")
    table = log(("u", 1.0, "a", 1.0))
    for call in (
        lambda: sets.take("visit", table, actor="test", source="test"),
        lambda: sets.compute("visit", actor="test"),
        lambda: sets.join(table, "event_timestamp", ["visit"]),
    ):
        with pytest.raises(Conflict, match="is of sessions and has no rows"):
            call()
    with pytest.raises(NotFound, match="no set has one of the columns"):
        sets.join(table, "event_timestamp")
    assert sets.of_model("demo") == []
    status = sets.status("visit")
    assert (status.rows, status.stale) == (0, False)


def test_it_stands_beside_a_set_of_rows_of_another_entity(serving: Hub) -> None:
    rows = shop.TEXT.replace("f0,", "f3,").replace(
        "  - {name: f2, dtype: float32, default: 0.25}\n", ""
    )
    sets = serving.feature_sets
    sets.apply(rows.replace("entity: user_id", "entity: shop_id"), actor="test")
    sets.apply(TEXT, actor="test")
    assert [each.ref for each in sets.of_model("demo")] == ["user_orders@1"]
    assert planned(serving) is not None
    with pytest.raises(Conflict, match="would get f3 from"):
        sets.apply(TEXT.replace("name: f1", "name: f3"), actor="test")
    with pytest.raises(Conflict, match="has session features of visit already"):
        sets.apply(TEXT.replace("name: visit", "name: other"), actor="test")
    with pytest.raises(Conflict, match="has rows or is of sessions, not both"):
        sets.apply(TEXT.replace("name: visit", "name: user_orders"), actor="test")


def test_what_serves_and_has_other_columns_is_told(serving: Hub) -> None:
    declared = parse_set(TEXT.replace("name: f2, dtype: float32", "name: f9, dtype: float32"))
    (absent,) = serving.feature_sets.sessions.misfits(declared, ["demo", "unknown"])
    assert "has no columns ['f9', 'item']" in absent
    text = TEXT.replace("name: item,", "name: f3,")
    (wrong,) = serving.feature_sets.sessions.misfits(parse_set(text), ["demo"])
    assert "f3 is float32 there, not string" in wrong


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: count, window: 5m", "kind: counts, window: 5m", "kind: expected one of"),
        ("kind: count, description", "description", "kind: expected one, got none"),
        ("field: price, half_life", "field: prices, half_life", "field 'prices' is none of"),
        ("field: price, half_life: 1m", "half_life: 1m", "field: mean needs one"),
        ("half_life: 1m", "half_life: 0", "half_life: expected 0.001 s"),
        ("half_life: 1m", "half_life: 1m, window: 1m", "expected it or half_life, got both"),
        ("kind: last, field: item", "kind: last, field: item, nth: 65", "nth: expected 1 to 64"),
        ("kind: last, field: item", "kind: last, field: item, window: 1m", "window: last has none"),
        ("kind: last, field: item", "kind: maximum, field: item", "maximum needs numbers"),
        ("name: item, dtype: string", "name: item, dtype: float32", "default: expected a number"),
        ("name: f1, dtype: float32", "name: f1, dtype: int64", "is float32 or float64, got int64"),
        ("where: {paid: true}", "where: {paid: yes}", "where paid: expected true or false"),
        ("where: {paid: true}", "where: {payed: true}", "field 'payed' is none of"),
        ("item: string, price", "item: strings, price", "fields.item: expected one of"),
        ("idle: 10m", "idle: 0", "idle: expected 1 s"),
        ("sessions: 500", "sessions: 0", "sessions: expected 1 to"),
        ("memory_mb: 4", "memory_mb: 0", "memory_bytes: expected at least"),
        ("models: [demo]", "models: [demo]\nfreshness: 1h", "freshness: sessions have none"),
        (
            "  session:\n",
            "  sql: SELECT 1\n  session:\n",
            "exactly one of sql and python, or session",
        ),
        ("  session:\n", "  every: 5m\n  session:\n", "every: only sql and python are asked"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(Invalid, match=said):
        parse_set(TEXT.replace(old, new))


def test_a_set_of_rows_has_no_running_features() -> None:
    text = shop.TEXT.replace("name: f0, dtype: float32", "name: f0, dtype: float32, kind: count")
    with pytest.raises(Invalid, match="f0: kind: only sets with source: session have one"):
        parse_set(text)


def test_a_training_joins_sessions_of_the_events_that_it_has(serving: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    sets = serving.feature_sets
    sets.apply(TEXT, actor="test")
    sets.write_snapshot("demo", folder, 1e9)
    store = TrainingFeatures(read_snapshot(folder), read_session_sets(folder))
    assert store.histories == ()
    labels = pa.table({"user_id": ["u", "v"], "time": [20.0, 20.0]})
    joined = store.features(labels, as_of="time", events=log(("u", 10.0, "a", 3.0)))
    assert joined["f0"].tolist() == [1.0, 0.0]
    assert joined["item"].tolist() == ["a", "none"]
    assert store.joined == {"visit@1"}
    assert list(digests_in(folder)) == ["visit@1"]
    sets.note_trained("demo", "1.0", folder, sorted(store.joined))
    assert [(u.kind, u.name) for u in sets.status("visit").uses] == [("trained", "visit")]
    with pytest.raises(Invalid, match="visit.* is of sessions: give their events"):
        store.features(labels, as_of="time")
    rows_alone = TrainingFeatures((SetHistory(parse_set(shop.TEXT), 1, ()),))
    with pytest.raises(NotFound, match="has no set of sessions"):
        rows_alone.features(labels, as_of="time", events=labels)


def test_sessions_that_cannot_be_given_keep_no_tables_waiting(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.feature_sets.apply(TEXT, actor="test")
    tables: list[str] = []

    def broken(model: str) -> None:
        raise HubFault("the plan is too large")

    monkeypatch.setattr(serving.feature_sets.sessions, "give", broken)
    monkeypatch.setattr(
        serving.feature_sets.giving, "give_new", lambda model, now: tables.append(model)
    )
    with pytest.raises(ExceptionGroup, match="too large"):
        serving.feature_sets.tick(0.0)
    assert tables == ["demo"]
