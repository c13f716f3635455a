"""The way back when a rare day is over, whatever people, clocks and disks do meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.cli.release_text import release_view, releases_table
from cloud_hub.database.documents import as_document
from cloud_hub.errors import Conflict, HubFault
from cloud_hub.hub import Hub
from cloud_hub.registry.release_page import to_html
from cloud_hub.runs.gate import Check
from cloud_hub.runs.gate_uses import GateUses
from cloud_hub.runs.tables import gate_uses
from cloud_hub.rush.store import RushMark, RushStore
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.hub.registry.keys.old_hub import age

SALE = Occurrence(time.time() - 86_400.0, time.time() - 60.0, "sale", "2026-11-27")
"""A day that is over: the calendar of the policy has it no more."""

NOW = time.time()


def published(hub: Hub, folder: Path, version: str, *, promote: bool = True) -> None:
    release = make_release(folder / version, "demo", version, seed=int(float(version) * 10))
    hub.registry.publish(release, actor="test", gated=True)
    if promote:
        hub.plans.promote("demo", version, actor="test", reason="test")


def of_the_rush(hub: Hub, folder: Path, version: str, *, run: int = 1) -> None:
    """Publish a version as a run of the day does, and let it serve."""
    store = RushStore(hub.engine)
    store.mark("demo", version, SALE, serving=serves(hub), run=run, now=SALE.begin + run)
    published(hub, folder, version)


def serves(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def mark(hub: Hub, version: str) -> RushMark:
    return hub.rush.marks("demo")[version]


def over(hub: Hub, times: int = 3) -> None:
    for _ in range(times):
        hub.rush.tick(NOW)


def test_of_several_versions_of_a_day_all_are_passed_over_by_a_rollback(
    serving: Hub, tmp_path: Path
) -> None:
    hub = serving
    published(hub, tmp_path, "1.1")
    of_the_rush(hub, tmp_path, "2.0", run=1)
    of_the_rush(hub, tmp_path, "3.0", run=2)
    assert [mark(hub, v).before for v in ("2.0", "3.0")] == ["1.1", "1.1"]
    over(hub)
    assert serves(hub) == "1.1"
    assert [mark(hub, v).outcome for v in ("2.0", "3.0")] == ["unused", "went_back"]
    hub.plans.rollback("demo", actor="me", reason="1.1 is bad, too")
    assert serves(hub) == "1.0"


def test_what_a_person_rolls_out_or_keeps_while_versions_are_compared_stands(
    serving: Hub, tmp_path: Path
) -> None:
    hub, compare = serving, serving.rush._compare
    of_the_rush(hub, tmp_path, "2.0")
    published(hub, tmp_path, "1.5", promote=False)

    def meanwhile(act: Callable[[], object]) -> None:
        def compared(mark: RushMark, now: float) -> object:
            checks = compare(mark, now)
            act()
            return checks

        hub.rush._compare = compared  # type: ignore[assignment]

    meanwhile(lambda: hub.plans.promote("demo", "1.5", actor="me", reason="mine"))
    over(hub)
    assert (serves(hub), mark(hub, "2.0").outcome) == ("1.5", "unused")
    of_the_rush(hub, tmp_path, "3.0", run=2)
    meanwhile(lambda: hub.rush.keep("demo", "3.0", actor="me", reason="the prices stay"))
    over(hub)
    kept = mark(hub, "3.0")
    assert (serves(hub), kept.outcome) == ("3.0", "kept")
    assert kept.reason == "kept by me: the prices stay"


def test_a_version_of_before_that_a_person_took_back_does_not_serve_again(
    serving: Hub, tmp_path: Path
) -> None:
    hub = serving
    published(hub, tmp_path, "1.1")
    of_the_rush(hub, tmp_path, "2.0")
    hub.plans.promote("demo", "1.1", actor="me", reason="a look")
    hub.plans.rollback("demo", actor="me", reason="1.1 is bad")
    assert serves(hub) == "2.0"
    over(hub)
    assert serves(hub) == "1.0"
    assert (mark(hub, "2.0").outcome, mark(hub, "2.0").before) == ("went_back", "1.0")


def test_a_version_of_an_earlier_rush_that_a_person_let_serve_again_is_gone_back_to(
    serving: Hub, tmp_path: Path
) -> None:
    hub = serving
    of_the_rush(hub, tmp_path, "2.0")
    over(hub)
    hub.plans.promote("demo", "2.0", actor="me", reason="I like it")
    of_the_rush(hub, tmp_path, "3.0", run=2)
    over(hub)
    assert (serves(hub), mark(hub, "3.0").outcome) == ("2.0", "went_back")


def test_without_a_version_to_go_back_to_it_stays_and_says_so(serving: Hub, tmp_path: Path) -> None:
    hub = serving
    of_the_rush(hub, tmp_path, "2.0")
    digest = hub.registry.version("demo", "1.0").manifest
    shutil.rmtree(hub.settings.data / "cache" / digest)
    for file in (hub.settings.data / "repository" / "targets").rglob("*"):
        if file.is_file() and "1.0" in file.parts:
            file.unlink()
    over(hub)
    assert serves(hub) == "2.0"
    assert "no version of before is left" in mark(hub, "2.0").reason


def test_what_cannot_be_compared_goes_back(serving: Hub, tmp_path: Path) -> None:
    hub = serving
    of_the_rush(hub, tmp_path, "2.0")

    def fails(mark: RushMark, now: float) -> list[Check]:
        raise HubFault("the worker was killed")

    hub.rush._compare = fails
    over(hub)
    assert serves(hub) == "1.0"
    assert "could not be compared: the worker was killed" in mark(hub, "2.0").reason


def test_a_hub_whose_clock_cannot_be_believed_knows_no_day(serving: Hub, tmp_path: Path) -> None:
    hub = serving
    of_the_rush(hub, tmp_path, "2.0")
    clock = Clock(NOW - 3_600)
    age(hub.repository, clock)
    clock.now += 40 * 86_400.0
    with pytest.raises(ExceptionGroup) as caught:
        over(hub)
    assert "nothing is signed until it is right" in str(caught.value.exceptions[0])
    assert (serves(hub), mark(hub, "2.0").outcome) == ("2.0", None)
    clock.now -= 40 * 86_400.0
    over(hub)
    assert serves(hub) == "1.0"


def test_a_version_that_was_never_published_leaves_no_mark(serving: Hub, tmp_path: Path) -> None:
    hub, store = serving, RushStore(serving.engine)
    store.mark("demo", "2.0", SALE, serving="1.0", run=1, now=NOW)
    over(hub, 1)
    assert hub.rush.marks("demo") == {}
    # A run of the day failed to publish, the next one takes the same name.
    store.mark("demo", "2.0", SALE, serving="1.0", run=1, now=NOW)
    store.mark("demo", "2.0", SALE, serving="1.0", run=2, now=NOW)
    store.mark("demo", "2.0", SALE, serving="2.0", run=2, now=NOW)
    assert (mark(hub, "2.0").run, mark(hub, "2.0").before) == (2, "1.0")


def test_only_the_first_decision_is_noted(serving: Hub, tmp_path: Path) -> None:
    hub, store = serving, RushStore(serving.engine)
    of_the_rush(hub, tmp_path, "2.0")
    open_ = mark(hub, "2.0")
    assert store.decide(open_, "kept", "first", now=NOW)
    assert not store.decide(open_, "went_back", "second", now=NOW)
    assert mark(hub, "2.0").reason == "first"


def test_going_back_is_refused_once_the_plan_is_another(serving: Hub, tmp_path: Path) -> None:
    hub = serving
    seen = hub.plans.current("demo")
    assert seen is not None
    published(hub, tmp_path, "1.1")
    reference = hub.plans.reference("demo", "1.0")
    with pytest.raises(Conflict, match="changed meanwhile"):
        hub.plans.go_back(seen, reference, actor="hub", reason="late")
    assert serves(hub) == "1.1"


def test_uses_of_the_gate_on_the_day_do_not_wear_rows_of_before(inner: Hub) -> None:
    row = {"model": "demo", "slice": "fresh", "data": "", "version": "2.0", "checks": 1}
    with inner.engine.begin() as db:
        for at in (50.0, 100.0, 150.0):
            db.execute(insert(gate_uses).values(**row, decided=1, at=at))
    uses = GateUses(inner.engine)
    assert uses.wear("demo", "fresh", since=60.0).uses == 2
    assert uses.wear("demo", "fresh", since=60.0, until=100.0).uses == 1


def test_releases_say_on_which_rare_day_they_were_trained(serving: Hub, tmp_path: Path) -> None:
    hub = serving
    of_the_rush(hub, tmp_path, "2.0")
    report, before = (hub.registry.report("demo", v) for v in ("2.0", "1.0"))
    documents = [
        {**as_document(before), "rare_day": None, "datasets": {}},
        {**as_document(report), "rare_day": as_document(mark(hub, "2.0")), "datasets": {}},
    ]
    shown = [row[-1] for row in releases_table(documents).rows]
    assert shown == [None, "sale of 2026-11-27, goes back"]
    text = "trained on the sale of 2026-11-27, after 1.0: goes back by itself when the day is over"
    assert text in str(release_view(documents[1])[0])
    assert "rained on" not in str(release_view(documents[0])[0])
    assert "Trained on the sale of 2026-11-27, after 1.0" in to_html(report, mark(hub, "2.0"))
    over(hub)
    documents[1]["rare_day"] = as_document(mark(hub, "2.0"))
    assert releases_table(documents).rows[1][-1] == "sale of 2026-11-27, went back"
    assert "the sale of 2026-11-27 is over" in to_html(report, mark(hub, "2.0"))
