"""Skew between training and serving: real ones alarm, what is on its way to devices does not."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.features.giving import GIVE_SECONDS
from cloud_hub.features.skew import skews
from cloud_hub.features.skew_watch import EVERY_SECONDS, GRACE_SECONDS
from cloud_hub.features.table import FeatureTable
from cloud_hub.hub import Hub
from tests.hub.features.shop import TEXT, keep, rows, served, take

USERS = [f"user-{i}" for i in range(60)]


def alarms(hub: Hub) -> list[str]:
    return [alarm.signal for alarm in hub.monitoring.alarms("demo")]


def tick(hub: Hub, now: float) -> None:
    """As the loop does: first give what is new, then compare."""
    hub.feature_sets.tick(now)
    hub.skew.tick(now)


def random_rows(rng: np.random.Generator, now: float) -> pa.Table:
    """Rows of some users of the last hours, some at the same moments as before."""
    users = rng.choice(USERS, rng.integers(1, len(USERS)), replace=False)
    ago = rng.integers(0, 6, len(users)) * 600.0 + rng.choice([0.0, 0.25])
    return pa.table(
        {
            "user_id": users,
            "event_timestamp": np.floor(now / 600) * 600 - ago,
            "f0": pa.array(rng.normal(size=len(users)), mask=np.zeros(len(users), bool)),
            "f2": rng.normal(size=len(users)).astype(np.float32),
        }
    )


def test_nothing_alarms_while_all_is_well_whatever_comes_when(shop: Hub) -> None:
    """Twenty seeds: rows at odd moments, looks between storing and giving, delays, changed sets."""
    now = time.time() - 400_000.0
    keep(shop, random_rows(np.random.default_rng(99), now - 9_000), now)
    tick(shop, now)
    compared = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        delay, fresh = rng.choice([0, 90, 1_500]), rng.choice(["30m", "2h"])
        text = TEXT.replace("freshness: 1h", f"freshness: {fresh}\ndelay: {delay}s")
        shop.feature_sets.apply(text, actor="test")
        now += float(rng.choice([1.0, GIVE_SECONDS, GRACE_SECONDS - 1, EVERY_SECONDS + 1]))
        tick(shop, now)
        keep(shop, random_rows(rng, now), now)
        shop.skew.tick(now + 0.5)  # before devices were given it
        report = shop.skew.measure("demo", now + 0.5)
        assert not report.settled or not any(f.different for f in report.features)
        tick(shop, now + 1)
        report = shop.skew.measure("demo", now + 1)
        assert report.settled
        assert [f.different for f in report.features] == [0, 0]
        compared += report.features[0].compared
    assert compared > 20 * 30
    assert alarms(shop) == []


def test_devices_that_stay_behind_with_an_old_file_alarm(shop: Hub) -> None:
    now = time.time()
    take(shop, rows(("a", 600, 1.0, 2.0), ("b", 60, 3.0, 4.0)))
    key = shop.settings.data / "keys" / "releases.pem"
    hidden = key.rename(key.with_suffix(".away"))
    keep(shop, rows(("a", 30, 9.0, 2.0)), now)
    with pytest.raises(ExceptionGroup, match=r"releases\.pem"):
        shop.feature_sets.tick(now + 1)
    shop.skew.tick(now + 1)
    assert not shop.skew.measure("demo", now + 2).settled
    assert alarms(shop) == []
    shop.skew.tick(now + 1 + GRACE_SECONDS)
    assert alarms(shop) == ["skew:f0"]
    assert served(shop, "a") == {"f0": 1.0, "f2": 2.0}
    hidden.rename(key)
    shop.feature_sets.tick(now + 2 + GRACE_SECONDS)
    report = shop.skew.measure("demo", now + 2 + GRACE_SECONDS)
    assert (report.settled, [f.different for f in report.features]) == (True, [0, 0])


@pytest.mark.parametrize(
    ("f0", "f2"),
    [
        ((7.25, 3.5), (2.0, 4.0)),  # another definition: other values for the same entities
        ((1.0, 3.0), (2.0, 4.0)),  # another dtype: whole numbers
    ],
)
def test_devices_with_other_values_than_trainings_alarm_once(
    shop: Hub, f0: tuple[float, ...], f2: tuple[float, ...]
) -> None:
    take(shop, rows(("a", 600, 1.25, 2.0), ("b", 60, 3.5, 4.0)))
    wrong = FeatureTable(("a", "b"), {"f0": f0, "f2": f2}, {"f0": -1, "f2": 0.25})
    shop.features.give("demo", wrong, time.time(), shop.feature_sets.giving.made_of("demo"))
    for _ in range(2):
        report = shop.skew.measure("demo")
    assert report.features[0].different > 0
    assert report.features[1].different == 0
    (alarm,) = shop.monitoring.alarms("demo")
    assert alarm.signal == "skew:f0"
    assert alarm.evidence["effect"] == report.features[0].share
    shop.monitoring.acknowledge("demo", "skew:f0", actor="test")
    assert alarms(shop) == []


def test_a_changed_default_reaches_devices_by_itself(shop: Hub) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    shop.feature_sets.apply(TEXT.replace("default: -1", "default: -5"), actor="test")
    assert served(shop, "nobody")["f0"] == -1.0
    shop.feature_sets.tick(time.time())
    assert served(shop, "nobody")["f0"] == -5.0


def test_a_value_that_is_missing_on_both_ways_is_no_skew() -> None:
    (f,) = skews(["f"], ["a", "b"], [{"f": None}, {"f": 0.0}], [{"f": float("nan")}, {"f": -0.0}])
    assert (f.different, f.compared, f.alarming) == (0, 2, False)


def test_one_of_a_hundred_is_no_alarm_and_two_are() -> None:
    names = [str(i) for i in range(100)]
    trained = [{"f": 0.0}] * 100
    for wrong, alarming in ((1, False), (2, True)):
        served_ = [{"f": float(i < wrong)} for i in range(100)]
        (f,) = skews(["f"], names, served_, trained)
        assert f.alarming is alarming


def test_a_name_is_one_type_in_all_versions_of_all_sets(shop: Hub) -> None:
    without = TEXT.replace("  - {name: f0, dtype: float32, default: -1}\n", "")
    assert shop.feature_sets.apply(without, actor="test").version == 2
    again = TEXT.replace("f0, dtype: float32", "f0, dtype: int64")
    with pytest.raises(Conflict, match="f0 is float32 in the rows that are kept"):
        shop.feature_sets.apply(again, actor="test")
    assert shop.feature_sets.apply(TEXT, actor="test").version == 3
    twice = TEXT + "  - {name: f0, dtype: int64}\n"
    with pytest.raises(Invalid, match=r"\['f0'\] stand twice"):
        shop.feature_sets.apply(twice, actor="test")
