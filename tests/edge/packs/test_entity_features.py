"""Batch features of entities joined with streaming ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import Column, Signature, TensorSpec
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError, PackError
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import EntityFeatures, entity_key, write_entity_features
from edge_sdk.packs.reader import Pack
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.builders import make_release, rows

USERS = ["user-1", "user-2", "Ærø", "user-42"]
STORED = {"f0": [1.0, 2.0, 3.0, 4.0], "f2": [0.5, -0.5, 0.0, 9.0]}
DEFAULTS = {"f0": -1.0, "f2": 0.25}


def written(folder: Path, release: Release, **changes: Any) -> Path:
    choices = {"entities": USERS, "columns": STORED, "defaults": DEFAULTS} | changes
    write_entity_features(folder / "features", release, **choices)
    return folder / "features"


def opened(folder: Path, release: Release) -> EntityFeatures:
    return EntityFeatures.open(written(folder, release), release)


def test_an_answer_is_that_of_the_whole_row(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    path = written(tmp_path, release)
    with EdgeDevice.offline(release.folder, features=path) as device:
        for i, user in enumerate(USERS):
            joined = device.predict({"f1": 7.0, "f3": 8.0}, entity=user)
            whole = device.predict([STORED["f0"][i], 7.0, STORED["f2"][i], 8.0])
            assert (joined.probabilities == whole.probabilities).all()
        assert device.status()["features"] is not None


def test_what_comes_with_the_call_goes_over_what_is_stored(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    with EdgeDevice.offline(release.folder, features=written(tmp_path, release)) as device:
        newer = device.predict({"f0": 5.0, "f1": 7.0, "f3": 8.0}, entity="user-1")
        assert (newer.probabilities == device.predict([5.0, 7.0, 0.5, 8.0]).probabilities).all()


def test_an_unknown_entity_gets_the_defaults_and_is_counted(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    terms = ServingTerms(reporting=Reporting(window_seconds=60, minimum_observations=1))
    serving = Predictor(release, terms, tag="t", clock=Clock(), features=opened(tmp_path, release))
    streaming = {"f1": 7.0, "f3": 8.0}
    assert serving.joined("stranger", streaming) == DEFAULTS | streaming
    serving.predict(serving.joined("stranger", streaming))
    serving.predict(serving.joined("user-1", streaming))
    (report,) = [b for b in serving.monitor.collect(0.0, final=True) if isinstance(b, WindowReport)]
    assert (report.defaulted, report.predictions, report.errors) == (2, {"model": 2}, {})


@pytest.mark.parametrize(
    ("entity", "x", "message"),
    [
        ("user-1", {"f1": 7.0}, "expected feature 'f3'"),
        ("user-1", {"f1": 7.0, "f3": 8.0, "age": 3}, "'age' is no feature"),
        ("user-1", [7.0, 8.0], "streaming features by column name"),
        ("", {"f1": 7.0, "f3": 8.0}, "expected a name"),
        (42, {"f1": 7.0, "f3": 8.0}, "expected a name"),
        ("\udcff", {"f1": 7.0, "f3": 8.0}, "expected Unicode"),
    ],
)
def test_a_join_that_makes_no_row_is_refused(
    tmp_path: Path, entity: Any, x: Any, message: str
) -> None:
    release = make_release(tmp_path)
    path = written(tmp_path, release)
    with (
        EdgeDevice.offline(release.folder, features=path) as device,
        pytest.raises(InputError, match=message),
    ):
        device.predict(x, entity=entity)


def test_without_stored_features_an_entity_is_refused(tmp_path: Path) -> None:
    with (
        EdgeDevice.offline(make_release(tmp_path).folder) as device,
        pytest.raises(InputError, match="no batch features"),
    ):
        device.predict({"f1": 7.0}, entity="user-1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entities": ["a", "a", "b", "c"]}, "different names"),
        ({"entities": ["a"]}, "expected 1 values, got 4"),
        ({"entities": ["", "a", "b", "c"]}, "expected a name"),
        ({"columns": {"f9": [1.0] * 4}, "defaults": {"f9": 0.0}}, "got 'f9'"),
        ({"columns": {}, "defaults": {}}, "expected one for each"),
        ({"defaults": {"f0": 1.0}}, "expected one for each"),
        ({"defaults": {"f0": "old", "f2": 1.0}}, "expected a number"),
        ({"columns": STORED | {"f0": [1.0, np.nan, 2.0, 3.0]}}, "expected a finite number"),
        ({"columns": STORED | {"f0": [1.0, "x", 2.0, 3.0]}}, "'f0'"),
    ],
)
def test_features_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PackError, match=message):
        written(tmp_path, make_release(tmp_path), **changes)
    assert not (tmp_path / "features").exists()


def test_features_and_answers_are_not_taken_for_each_other(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    path = written(tmp_path, release)
    with pytest.raises(PackError, match="entity-v1"):
        Pack.open(path, release)
    other = make_release(tmp_path, seed=5)
    with pytest.raises(PackError, match="made for release"):
        EntityFeatures.open(path, other)


def test_expired_features_are_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    with pytest.raises(PackError, match="expired"):
        EntityFeatures.open(written(tmp_path, release, expires=10), release, now=11.0)


def of_text(tmp_path: Path) -> Release:
    """A release with a column of text and one that may be missing."""
    release = make_release(tmp_path)
    tensors = (TensorSpec("city", "string", (None, 1)), TensorSpec("age", "float32", (None, 1)))
    columns = (Column("city", "string", "city"), Column("age", "float32", "age"))
    signature = Signature(tensors, release.manifest.signature.outputs, columns, (0, 1, 2))
    manifest = replace(release.manifest, signature=signature, training={"missing": "allowed"})
    return Release(release.folder, manifest, release.digest)


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda s: "\0" not in s and (s.isascii() or s.isprintable())),
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        max_size=20,
    )
)
@settings(max_examples=50)
def test_what_is_written_for_an_entity_is_what_is_joined(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, tuple[str, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("features")
    release = of_text(folder)
    columns = {"city": [city for city, _ in table.values()], "age": [a for _, a in table.values()]}
    path = written(
        folder, release, entities=list(table), columns=columns, defaults={"city": "", "age": None}
    )
    features = EntityFeatures.open(path, release)
    for entity, (city, age) in table.items():
        row, known = features.join(entity, {})
        assert known
        assert row["city"] == city
        assert row["age"] == age or (age is None and np.isnan(row["age"]))
    assert features.join("nobody\0", {}) == ({"city": "", "age": None}, False)
    features.close()


def test_keys_of_entities_are_never_those_of_rows() -> None:
    assert entity_key("a") != entity_key("b")
    assert len(entity_key("a")) == 16
    assert rows(1)[0].tobytes() != entity_key("a")


def test_old_features_are_answered_with_their_age_and_counted(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    aged = {"computed_at": [900, 950, 990, 1_000], "stale_at": [999, 1_000, 1_001, 2_000]}
    written(tmp_path, release, **aged)
    features = EntityFeatures.open(tmp_path / "features", release)
    known = features.stored("user-1", 1_000.0)
    assert known == ({"f0": 1.0, "f2": 0.5}, True, 100.0, True)
    assert features.stored("stranger", 1_000.0) == (DEFAULTS, False, None, False)
    terms = ServingTerms(reporting=Reporting(window_seconds=60, minimum_observations=1))
    serving = Predictor(release, terms, tag="t", clock=lambda: 1_000.0, features=features)
    for user in (*USERS, "stranger"):
        serving.predict(serving.joined(user, {"f1": 7.0, "f3": 8.0}))
    (report,) = [b for b in serving.monitor.collect(0.0, final=True) if isinstance(b, WindowReport)]
    assert (report.stale, report.defaulted, report.predictions) == (2, 1, {"model": 5})


def test_moments_of_another_number_than_entities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="@stale_at: expected 4 moments, got 1"):
        written(tmp_path, make_release(tmp_path), computed_at=[1] * 4, stale_at=[1])
