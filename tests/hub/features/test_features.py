"""Batch features at the hub: taken in, written for every release that a plan names, refused."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.features.store import FeatureStore
from cloud_hub.features.table import FeatureTable, parse_defaults, read_csv
from cloud_hub.hub import Hub
from cloud_hub.packs.publishing import pack_file
from edge_sdk.contract.plan import PackRef
from edge_sdk.packs.entity_features import EntityFeatures
from tests.edge.builders import make_release

USERS = FeatureTable(
    ("user-1", "user-2"), {"f0": (1.0, "2.5"), "f2": ("0.5", 4)}, {"f0": "-1", "f2": 0.0}
)


def joined(hub: Hub, version: str, pack: PackRef | None, entity: str) -> Mapping[str, Any]:
    assert pack is not None
    release = hub.registry.release("demo", version)
    with pack_file(hub.registry.repository, "demo", pack) as file:
        features = EntityFeatures.open(file, release)
    return features.join(entity, {})[0]


def test_features_reach_the_plan_as_a_signed_file_for_what_serves(serving: Hub) -> None:
    status = serving.features.put("demo", USERS, actor="test")
    plan = serving.plans.current("demo")
    assert plan is not None
    assert plan.serving.features is not None
    assert status.files["1.0"].sha256 == plan.serving.features.file.sha256
    assert joined(serving, "1.0", plan.serving.features, "user-2") == {"f0": 2.5, "f2": 4.0}
    assert joined(serving, "1.0", plan.serving.features, "stranger") == {"f0": -1.0, "f2": 0.0}


def test_the_file_of_an_earlier_hub_is_read_and_written(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features.db")
    store.write("demo", USERS, now=1.0, expires=None, replace=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "features.db")) as db, db:
        for column in ("made_of", "published"):
            db.execute(f"ALTER TABLE models DROP COLUMN {column}")
    info = store.info("demo")
    assert info is not None
    assert (info.updated_at, info.made_of, info.published) == (1.0, "", "")
    store.write("demo", USERS, now=2.0, expires=None, replace=True, made_of="shop@1")
    store.note_published("demo", "shop@1")
    info = store.info("demo")
    assert info is not None
    assert (info.updated_at, info.made_of, info.published) == (2.0, "shop@1", "shop@1")


def test_later_features_go_over_those_of_the_same_entities_and_keep_the_others(
    serving: Hub,
) -> None:
    serving.features.put("demo", USERS, actor="test")
    newer = FeatureTable(("user-2",), {"f0": (9.0,), "f2": (9.0,)}, USERS.defaults)
    assert serving.features.put("demo", newer, actor="test").entities == 2
    plan = serving.plans.current("demo")
    assert plan is not None
    assert joined(serving, "1.0", plan.serving.features, "user-2")["f0"] == 9.0
    assert joined(serving, "1.0", plan.serving.features, "user-1")["f0"] == 1.0


def test_replacing_forgets_entities_and_columns_that_are_not_given(serving: Hub) -> None:
    serving.features.put("demo", USERS, actor="test")
    other = FeatureTable(("user-3",), {"f1": (1.0,)}, {"f1": 0.0})
    status = serving.features.put("demo", other, actor="test", replace_all=True)
    assert status.entities == 1
    assert status.defaults == {"f1": 0.0}


def test_the_next_version_and_a_canary_get_features_of_their_own(
    serving: Hub, tmp_path: Path
) -> None:
    serving.features.put("demo", USERS, actor="test")
    serving.registry.publish(make_release(tmp_path / "next", version="1.1", seed=3), actor="test")
    serving.experiments.start("demo", "1.1", actor="test")
    plan = serving.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    arm = plan.experiment.arms[0].release
    assert joined(serving, "1.1", arm.features, "user-2") == {"f0": 2.5, "f2": 4.0}
    assert arm.features != plan.serving.features
    serving.plans.promote("demo", "1.1", actor="test", reason="good")
    promoted = serving.plans.current("demo")
    assert promoted is not None
    assert promoted.serving.features == arm.features


def test_a_rollback_brings_the_newest_features_for_the_version_it_goes_back_to(
    serving: Hub, tmp_path: Path
) -> None:
    serving.features.put("demo", USERS, actor="test")
    serving.registry.publish(make_release(tmp_path / "next", version="1.1", seed=3), actor="test")
    serving.plans.promote("demo", "1.1", actor="test", reason="good")
    newer = FeatureTable(("user-1",), {"f0": (7.0,), "f2": (7.0,)}, USERS.defaults)
    serving.features.put("demo", newer, actor="test")
    back = serving.plans.rollback("demo", actor="test", reason="bad")
    assert joined(serving, "1.0", back.serving.features, "user-1") == {"f0": 7.0, "f2": 7.0}


def table(**changes: Any) -> FeatureTable:
    return FeatureTable(
        **{"entities": ("a",), "columns": {"f0": (1.0,)}, "defaults": {"f0": 0.0}} | changes
    )


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (table(columns={"f9": (1.0,)}, defaults={"f9": 0}), "it has no \\['f9'\\]"),
        (table(columns={"f0": ("many",)}), "f0: expected numbers, got 'many'"),
        (table(columns={"f0": ("",)}), "f0"),
        (table(columns={"f0": ("inf",)}), "f0"),
    ],
)
def test_what_the_model_cannot_take_is_refused_and_nothing_is_kept(
    serving: Hub, features: FeatureTable, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        serving.features.put("demo", features, actor="test")
    with pytest.raises(NotFound, match="has no batch features"):
        serving.features.status("demo")


def test_features_of_other_columns_than_are_kept_are_refused(serving: Hub) -> None:
    serving.features.put("demo", USERS, actor="test")
    with pytest.raises(Invalid, match="stored are"):
        serving.features.put("demo", table(), actor="test")


def test_features_that_expired_already_are_refused(serving: Hub) -> None:
    with pytest.raises(Invalid, match="a time to come"):
        serving.features.put("demo", USERS, actor="test", expires=int(time.time()) - 1)


def test_features_of_a_model_that_does_not_serve_are_refused(inner: Hub) -> None:
    with pytest.raises(NotFound, match="nothing serves yet"):
        inner.features.put("demo", USERS, actor="test")


def test_a_hub_without_the_key_of_releases_refuses_and_the_plan_stays(serving: Hub) -> None:
    before = serving.plans.current("demo")
    (serving.settings.data / "keys" / "releases.pem").unlink()
    with pytest.raises((Invalid, Conflict), match=r"releases\.pem"):
        serving.features.put("demo", USERS, actor="test")
    assert serving.plans.current("demo") == before
    with pytest.raises(NotFound):
        serving.features.status("demo")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a header"),
        ("user\n", "expected a header"),
        ("user,f0\na\n", "line 2: expected 2 cells, got 1"),
        ("user,f0\na,1\na,2\n", "1 came again"),
        ("user,f0\n,1\n", "one is empty"),
        ("user,f1\na,1\n", "defaults: expected one for each column"),
        ('user,f0\n"a,1\n', "cannot read it as CSV"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "users.csv"
    path.write_text(text)
    with pytest.raises(Invalid, match=reason):
        read_csv(path, {"f0": "0"})


def test_a_default_without_a_value_is_refused() -> None:
    with pytest.raises(Invalid, match="NAME=VALUE"):
        parse_defaults(["f0"])
