"""Batch jobs over declared sets of features: each generation sees those of its own moment."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub, open_hub
from tests.edge.builders import softmax
from tests.hub.batch.shop import COLUMNS, computed, declare, job, settled

SET = """
name: orders
entity: user
owner: shop@example.com
freshness: 1h
delay: 10s
models: [demo]
features:
  - {name: f0, dtype: float32, default: -1}
  - {name: f1, dtype: float32, default: 0}
"""
OTHER = """
name: visits
entity: user
owner: shop@example.com
freshness: 1h
models: [demo]
features:
  - {name: f2, dtype: float64, default: 0.5}
  - {name: f3, dtype: float32, default: 2}
"""


def take(hub: Hub, name: str, now: float, *rows: tuple[str, float, float, float]) -> None:
    """Keep rows of user, seconds ago, and both features of a set."""
    user, ago, first, second = zip(*rows, strict=True)
    names = COLUMNS[:2] if name == "orders" else COLUMNS[2:]
    at = [now - seconds for seconds in ago]
    table = {"user": user, "event_timestamp": at, names[0]: first, names[1]: second}
    hub.feature_sets.take(name, pa.table(table), actor="test", source="test")


@pytest.fixture
def shop(serving: Hub) -> tuple[Hub, float]:
    now = time.time()
    for text in (SET, OTHER):
        serving.feature_sets.apply(text, actor="test")
    take(serving, "orders", now, ("a", 900.0, 1.0, 1.0), ("a", 300.0, 2.0, 2.0))
    take(serving, "orders", now, ("b", 300.0, 3.0, 3.0))
    take(serving, "visits", now, ("c", 300.0, 4.0, 4.0), ("a", 100.0, 5.0, 5.0))
    declare(serving, job("{entities: user}"))
    return serving, now


def answers(hub: Hub, id_: int) -> dict[str, np.ndarray]:
    [part] = hub.generations.get(id_).stream(["probabilities"])
    return dict(zip(part.entities, part.columns["probabilities"], strict=True))


def expected(*row: float) -> np.ndarray:
    return softmax(np.array([row], np.float32), 0)[0]


def test_a_backfill_sees_the_features_of_the_time_that_is_filled(shop: tuple[Hub, float]) -> None:
    hub, now = shop
    moments = [now - 1_000, now - 600, now - 295, now - 200]
    asked = hub.batches.backfill("demo", "users", moments, actor="test")
    ended = [settled(hub, record.id) for record in asked]
    assert [record.status for record in ended] == ["failed", "whole", "whole", "whole"]
    assert "expected at least one row" in ended[0].reason
    early, between, late = (answers(hub, record.id) for record in ended[1:])
    assert set(early) == {"a"}
    np.testing.assert_allclose(early["a"], expected(1, 1, 0.5, 2), rtol=1e-5)
    # Orders reach serving ten seconds after their moment, visits at once.
    assert set(between) == {"a", "c"}
    np.testing.assert_allclose(between["a"], expected(1, 1, 0.5, 2), rtol=1e-5)
    np.testing.assert_allclose(between["c"], expected(-1, 0, 4, 4), rtol=1e-5)
    assert set(late) == {"a", "b", "c"}
    np.testing.assert_allclose(late["a"], expected(2, 2, 0.5, 2), rtol=1e-5)
    newest = answers(hub, computed(hub).id)
    np.testing.assert_allclose(newest["a"], expected(2, 2, 5, 5), rtol=1e-5)


def test_what_comes_after_a_job_has_begun_is_left_to_the_next(shop: tuple[Hub, float]) -> None:
    hub, now = shop
    record = hub.batches.run("demo", "users", actor="test")
    hub.batches.tick(time.time())
    hub.batches.stop()  # its worker is killed, wherever it was
    take(hub, "orders", now, ("late", 400.0, 9.0, 9.0))
    again = open_hub(hub.settings)
    try:
        assert settled(again, record.id).status == "whole"
        assert set(answers(again, record.id)) == {"a", "b", "c"}
        assert set(answers(again, computed(again).id)) == {"a", "b", "c", "late"}
    finally:
        again.close()


def test_entities_of_another_kind_are_refused(shop: tuple[Hub, float]) -> None:
    hub, _ = shop
    declare(hub, job("{entities: hotel}"))
    assert "expected user, as the sets declare, got hotel" in computed(hub).reason


def test_features_that_were_put_by_hand_know_no_past(serving: Hub) -> None:
    declare(serving, job("{entities: user}"))
    with pytest.raises(Invalid, match="or the entities of declared sets"):
        serving.batches.backfill("demo", "users", [1.0], actor="test")
