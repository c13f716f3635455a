"""Sessions as an application meets them: on a device, its models, and for asyncio."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import AsyncEdgeDevice, EdgeDevice
from edge_sdk.contract.experiment_reports import ShadowReport
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError, StateError
from edge_sdk.packs.entity_features import write_entity_features
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.edge.sessions.declared import VISIT, feature, of
from tests.forked import in_a_child
from tests.waiting import PATIENCE, wait_for


def opened(folder: Path, clock: Clock | None = None, **more: Any) -> EdgeDevice:
    release = make_release(folder)
    more = {"sessions": VISIT, "clock": clock or Clock(), "background": False} | more
    return EdgeDevice.offline(release.folder, **more)


def answers_as(device: EdgeDevice, made: Any, row: list[float]) -> bool:
    return bool((made.probabilities == device.predict(np.array(row)).probabilities).all())


def test_a_prediction_has_the_features_of_the_session_as_columns(tmp_path: Path) -> None:
    clock = Clock(1_000.0)
    with opened(tmp_path, clock) as device:
        session = device.session("user-42")
        assert session.features() == {"f0": 0, "f1": 0, "f2": -1}
        session.event({"price": 3.0})
        clock.now += 60.0  # the half-life
        session.event({"price": 6.0, "unknown": 1})
        clock.now += 2.0
        mean = (0.5 * 3.0 + 6.0) / 1.5
        assert session.features() == {"f0": 2, "f1": pytest.approx(mean), "f2": 2.0}
        for made in (session.predict({"f3": 0.5}), device.predict({"f3": 0.5}, unit="user-42")):
            assert answers_as(device, made, [2.0, mean, 2.0, 0.5])
        other = device.predict({"f3": 0.5}, unit="nobody")
        assert answers_as(device, other, [0.0, 0.0, -1.0, 0.5])
        status = device.model("demo").status()["sessions"]
        assert (status["sessions"], status["ignored"]) == (1, ["unknown"])


def test_the_call_goes_over_the_session_and_the_session_over_the_stored_entity(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path)
    stored = {"f0": [100.0], "f3": [0.25]}
    path = tmp_path / "features"
    write_entity_features(path, release, ["e"], stored, defaults={"f0": -5.0, "f3": -7.0})
    with EdgeDevice.offline(release.folder, features=path, sessions=VISIT) as device:
        device.session("u").event({"price": 3.0})
        clock = {"f2": 9.0}
        made = device.predict(clock, unit="u", entity="e")
        assert answers_as(device, made, [1.0, 3.0, 9.0, 0.25])
        made = device.predict({**clock, "f0": 50.0}, unit="u", entity="e")
        assert answers_as(device, made, [50.0, 3.0, 9.0, 0.25])
        made = device.predict(clock, unit="v", entity="stranger")
        assert answers_as(device, made, [0.0, 0.0, 9.0, -7.0])


def test_a_whole_row_is_answered_as_it_is_with_a_unit_too(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        device.session("u").event({"price": 3.0})
        for whole in ([1.0, 2.0, 3.0, 4.0], np.ones(4), np.ones(4, np.float32)):
            made = device.predict(whole, unit="u")
            assert answers_as(device, made, list(whole))


def test_rows_of_a_batch_and_candidates_have_them_too(tmp_path: Path) -> None:
    clock = Clock(1_000.0)
    with opened(tmp_path, clock) as device:
        device.session("u").event({"price": 3.0})
        expected = device.predict_batch(np.array([[1, 3, 0, 0.5], [1, 3, 0, 0.75]], np.float32))
        for rows in ([{"f3": 0.5}, {"f3": 0.75}], {"f3": [0.5, 0.75]}):
            batch = device.predict_batch(rows, unit="u")
            assert (batch.probabilities == expected.probabilities).all()
        with pytest.raises(InputError, match="expected 3 features 'f0', 'f1', 'f2'"):
            device.predict_batch([{"f3": 0.5}])


def test_a_release_without_the_columns_takes_what_it_has_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    other = of(feature("clicks", "int64", "count"), feature("f0", "float32", "count"))
    with opened(tmp_path, sessions=other) as device:
        session = device.session("u")
        session.event({})
        assert session.features() == {"clicks": 1, "f0": 1}
        made = session.predict({"f1": 0.0, "f2": 0.0, "f3": 0.0})
        assert answers_as(device, made, [1.0, 0.0, 0.0, 0.0])
        with pytest.raises(InputError, match="expected 3 features 'f1', 'f2', 'f3'"):
            session.predict()
    with opened(tmp_path / "b", sessions=of(feature("clicks", "int64", "count"))) as device:
        device.session("u").event({})
        assert answers_as(device, device.session("u").predict([0.0, 0, 0, 1]), [0.0, 0, 0, 1])
        with pytest.raises(InputError, match="expected 4 features|expected a row"):
            device.session("u").predict()


def test_a_feature_without_a_value_is_missing_where_the_model_does_not_take_that(
    tmp_path: Path,
) -> None:
    since = of(feature("f0", "float32", "since"))
    with opened(tmp_path, sessions=since) as device, pytest.raises(InputError, match="'f0'"):
        device.predict({"f1": 0.0, "f2": 0.0, "f3": 0.0}, unit="u")


def test_an_ended_session_takes_no_events_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        session, same = device.session("u"), device.session("u")
        session.event({})
        same.event({})
        assert same.features()["f0"] == 2
        assert session.end()
        with pytest.raises(InputError, match="session of 'u' was ended"):
            session.event({})
        assert session.features()["f0"] == 0
        assert not session.end()
        same.event({})
        assert device.session("u").features()["f0"] == 1


@pytest.mark.parametrize("unit", ["", "x" * 257, 7, None, "\udcff", b"u"])
def test_a_unit_that_is_none_is_refused(tmp_path: Path, unit: Any) -> None:
    with opened(tmp_path) as device:
        for call in (device.session, device.session_features, device.end_session):
            with pytest.raises(InputError, match="unit: expected a text"):
                call(unit)
        with pytest.raises(InputError, match="unit: expected a text"):
            device.session_event(unit, {})


def test_a_model_without_declared_features_has_no_sessions(tmp_path: Path) -> None:
    with opened(tmp_path, sessions=None) as device:
        for call in (device.session, device.session_features, device.end_session):
            with pytest.raises(InputError, match="no session features are declared"):
                call("u")
        assert device.model("demo").status()["sessions"] is None
        with pytest.raises(InputError, match="expected 3 features"):
            device.predict({"f3": 0.5}, unit="u")


def test_a_declaration_comes_as_a_file_too_and_what_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "visit.json"
    file.write_bytes(VISIT.to_json())
    with opened(tmp_path, sessions=file) as device:
        device.session("u").event({})
    file.write_text('{"name": "visit"}')
    for path, said in ((file, "the field is missing"), (tmp_path / "none.json", "cannot read it")):
        with pytest.raises(InputError, match=said):
            opened(tmp_path / said, sessions=path)
    for wrong in (7, {"name": "visit"}, b"visit"):
        with pytest.raises(StateError, match="sessions: expected a path"):
            opened(tmp_path / type(wrong).__name__, sessions=wrong)
    release = make_release(tmp_path / "d", "other")
    with pytest.raises(StateError, match="belong to one release"):
        EdgeDevice.offline([release.folder, make_release(tmp_path / "e").folder], sessions=VISIT)


def test_predictions_of_units_without_a_session_are_counted_as_those_of_unknown_entities(
    tmp_path: Path,
) -> None:
    reporting = Reporting(window_seconds=60, minimum_observations=1)
    with opened(tmp_path, reporting=reporting) as device:
        device.session("u").event({})
        for unit in ("u", "v", "w"):
            device.predict({"f3": 0.5}, unit=unit)
            with pytest.raises(InputError, match="no batch features"):
                device.predict({"f3": 0.5}, unit=unit, entity="e")
        (report,) = [b for b in device.reports() if isinstance(b, WindowReport)]
        assert (report.predictions, report.defaulted) == ({"model": 3}, 2)
        assert report.errors == {"entity": 3}


def test_threads_on_one_session_predict_and_tell_events_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []
    with opened(tmp_path) as device:

        def work() -> None:
            session = device.session("u")
            try:
                for _ in range(200):
                    session.event({"price": 1.0})
                    assert session.predict({"f3": 0.5}).label is not None
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert failed == []
        assert device.session("u").features()["f0"] == 800


def test_sessions_are_awaited(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder, sessions=VISIT) as device:
            session = await device.session("u")
            await session.event({"price": 3.0})
            await (await device.model("demo").session("u")).event({"price": 3.0})
            assert (await session.features())["f0"] == 2
            assert (await session.predict({"f3": 0.5})).source == "model"
            assert await session.end()
            with pytest.raises(InputError, match="was ended"):
                await session.event({})
            with pytest.raises(InputError, match="unit: expected"):
                await device.session("")

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_sessions_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        session = device.session("u")
        session.event({})

        def child() -> None:
            assert device.session("u").features()["f0"] == 0
            device.session("u").event({})
            session.event({})

        assert in_a_child(child) == 0
        assert session.features()["f0"] == 1


def test_a_device_without_sessions_loads_nothing_of_them(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    code = (
        "import sys; from edge_sdk import EdgeDevice\n"
        f"with EdgeDevice.offline({str(folder)!r}) as device: device.predict([0, 0, 0, 0])\n"
        "print([name for name in sys.modules if 'sessions' in name or 'session_' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[]"


def test_bounds_of_a_declaration_hold_on_the_device(tmp_path: Path) -> None:
    few: SessionFeatures = replace(VISIT, sessions=5)
    with opened(tmp_path, sessions=few) as device:
        for i in range(1_000):
            device.session(f"user {i}").event({})
        status = device.model("demo").status()["sessions"]
        assert (status["sessions"], status["dropped"]) == (5, 995)


def test_what_runs_beside_sees_the_same_rows(tmp_path: Path) -> None:
    shadow = make_release(tmp_path / "s", version="2.0").folder  # of the same answers
    told: list[ShadowReport] = []
    with opened(tmp_path / "a", shadow=shadow, background=True) as device:
        session = device.session("u")
        for price in (1.0, 2.0, 3.0):
            session.event({"price": price})
            session.predict({"f3": 0.5})

        def compared() -> bool:
            told.extend(body for body in device.reports() if isinstance(body, ShadowReport))
            return sum(body.compared for body in told) == 3

        wait_for(compared, "the comparison")
    assert [body.errors for body in told if body.errors] == []
