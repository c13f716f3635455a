"""Reports by days on PostgreSQL: whole days are dropped, and nothing counts twice or is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, func, select, text

from cloud_hub.database.engine import connect
from cloud_hub.database.migrate import alembic_config, check, open_engine, upgrade
from cloud_hub.database.partitions import AHEAD, DAY, DayPart, make_day, missing_days, parts_of
from cloud_hub.hub import Hub, initialise
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.settings import Settings
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.daily_retention import DailyRetention, cutoffs, left_to_days
from cloud_hub.telemetry.tables import ROLLED, feedback, reports
from tests.hub.database.test_migrations import KILLED
from tests.hub.telemetry import reporting_fleet
from tests.hub.telemetry.reporting_fleet import WINDOW, Simulated
from tests.hub.telemetry.test_retention import count, histogram_sums, outcomes
from tests.postgres import Cluster
from tests.waiting import PATIENCE

TODAY = int(time.time()) // DAY * DAY
"""Of the database: its clock says when the first days are made."""
MINUTES = DAY // WINDOW


def day(number: int) -> DayPart:
    return DayPart(f"d{number}", number * DAY, (number + 1) * DAY)


def test_days_are_made_ahead_and_only_where_there_is_none() -> None:
    assert missing_days([], 10.5 * DAY) == [n * DAY for n in range(10, 11 + AHEAD)]
    before = DayPart("before", None, 12 * DAY)
    assert missing_days([before, day(13)], 10.5 * DAY) == [12 * DAY, 14 * DAY]


def test_a_day_goes_when_no_model_keeps_it() -> None:
    short, long = Retention(report_days=2, sum_days=10), Retention(report_days=5, sum_days=9)
    due = cutoffs([short, long], 20 * DAY)
    assert due == (15 * DAY, 10 * DAY, 5)
    # A model of shorter retention does not wait for the day; what is over for all goes as a whole.
    parts = [day(14), day(15)]
    assert left_to_days(parts, short, due) == [(14 * DAY, 15 * DAY)]
    assert left_to_days(parts, long, due) == [(14 * DAY, 15 * DAY), (15 * DAY, 16 * DAY)]
    assert cutoffs([], 20 * DAY).whole < 0


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.database()


def names(engine: Engine, table: str = "reports") -> list[str]:
    with engine.connect() as db:
        return [part.name.removeprefix(f"{table}_") for part in parts_of(db, table)]


def of_day(number: int) -> str:
    """Name of a day's part; 0 is today."""
    return f"d{time.strftime('%Y%m%d', time.gmtime(TODAY + number * DAY))}"


@pytest.fixture
def fleet(serving: Hub, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """Three devices; window 0 is the first minute of the day before yesterday."""
    monkeypatch.setattr(reporting_fleet, "BEGIN", TODAY - 2 * DAY)
    return Simulated(serving, devices=3, rows=40)


@pytest.mark.postgres
def test_a_day_that_is_over_is_dropped_and_its_sums_stay(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = fleet.hub
    assert names(hub.engine) == [of_day(n) for n in range(-2, AHEAD + 1)]
    for minute in (0, 1, 70, MINUTES - 1, MINUTES):  # the last one is of yesterday
        fleet.window(minute, errors=0.2)
    before, sums = outcomes(hub), histogram_sums(hub)
    made = hub.telemetry.predictions_by_device("demo")
    days, policy = DailyRetention(hub.engine), Retention(report_days=1, sum_days=3)
    # Until the day is over nothing of it is touched, on no path.
    early = TODAY - 1
    retention.clean(hub.engine, "demo", early, policy, days.clean(early, {"demo": policy})["demo"])
    assert count(hub, reports) == count(hub, feedback) == 15
    # Bounded work: what a round has not finished, the next one does.
    monkeypatch.setattr(retention, "STEPS", 1)
    monkeypatch.setattr(retention, "ROWS", 4)
    rounds = 0
    while of_day(-2) in names(hub.engine) + names(hub.engine, "feedback"):
        left = days.clean(TODAY, {"demo": policy})["demo"]
        retention.clean(hub.engine, "demo", TODAY, policy, left)
        rounds += 1
        assert outcomes(hub) == before
    assert rounds > 1
    assert count(hub, reports) == count(hub, feedback) == 3 + 3  # three hours, and yesterday's
    assert histogram_sums(hub) == sums
    assert hub.telemetry.predictions_by_device("demo") == made
    with hub.engine.connect() as db:
        rolled = select(func.count()).where(reports.c.device == ROLLED)
        assert db.execute(rolled).scalar() == 3
    # What comes now for the day that is gone is added to its hours, row by row.
    fleet.window(1, errors=0.2)
    retention.clean(hub.engine, "demo", TODAY, policy)
    assert count(hub, reports) == 3 + 3
    assert outcomes(hub)["predictions"] == before["predictions"] + 3 * 40
    # In the end sums go too, and days without them are dropped unread.
    days.clean(TODAY + 5 * DAY, {"demo": policy})
    retention.clean(hub.engine, "demo", TODAY + 5 * DAY, policy)
    assert count(hub, reports) == 0
    assert of_day(1) not in names(hub.engine)


@pytest.mark.postgres
def test_what_comes_while_a_day_is_read_is_not_lost(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = fleet.hub
    for minute in (0, 70):
        fleet.window(minute)
    days, policies = DailyRetention(hub.engine), {"demo": Retention(report_days=1)}
    monkeypatch.setattr(retention, "STEPS", 1)
    monkeypatch.setattr(retention, "ROWS", 2)
    days.clean(TODAY, policies)  # has read the first hour
    fleet.window(1)
    before = outcomes(hub)
    days.clean(TODAY, policies)  # sees that there is more, and drops nothing
    assert of_day(-2) in names(hub.engine)
    for _ in range(3):
        days.clean(TODAY, policies)
    assert of_day(-2) not in names(hub.engine)
    assert outcomes(hub) == before
    assert count(hub, reports) == 2


@pytest.mark.postgres
def test_a_message_counts_once_whichever_day_its_copies_speak_of(fleet: Simulated) -> None:
    hub, device = fleet.hub, fleet.names[0]
    fleet.send(device, fleet.report_of(MINUTES - 1))
    fleet._sequence = iter((1,))
    # The same name with a window of another day, as a hostile device would send it.
    reply = fleet.send(device, fleet.report_of(MINUTES))
    assert (reply.accepted, reply.duplicates) == (0, 1)
    days = DailyRetention(hub.engine)
    days.clean(TODAY, {"demo": Retention(report_days=1)})
    assert of_day(-2) not in names(hub.engine)
    fleet._sequence = iter((1,))
    # And once more when the day that has the first of them is gone.
    reply = fleet.send(device, fleet.report_of(MINUTES - 1))
    assert (reply.accepted, reply.duplicates) == (0, 1)
    assert outcomes(hub)["predictions"] == 40


@pytest.mark.postgres
def test_a_day_that_nobody_made_in_time_gets_what_came_of_it(fleet: Simulated) -> None:
    hub = fleet.hub
    with hub.engine.begin() as db:
        db.execute(text(f"DROP TABLE reports_{of_day(-1)}"))
    fleet.window(MINUTES)
    assert of_day(-1) not in names(hub.engine)
    assert make_day(hub.engine, "reports", TODAY - DAY)
    with hub.engine.connect() as db:
        assert db.execute(text(f"SELECT count(*) FROM reports_{of_day(-1)}")).scalar() == 3
        assert db.execute(text("SELECT count(*) FROM reports_late")).scalar() == 0


@pytest.mark.postgres
def test_a_table_that_is_in_use_is_left_for_later(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = fleet.hub
    fleet.window(0)
    monkeypatch.setattr("cloud_hub.database.partitions.LOCK_WAIT", "1ms")
    days, policies = DailyRetention(hub.engine), {"demo": Retention(report_days=1)}
    with hub.engine.begin() as db:
        db.execute(select(func.count()).select_from(reports))
        days.clean(TODAY, policies)
        assert of_day(-2) in names(hub.engine)
    days.clean(TODAY, policies)
    assert of_day(-2) not in names(hub.engine)


@pytest.fixture
def older(cluster: Cluster, tmp_path: Path) -> Settings:
    """A database of a hub at 0021, with reports."""
    settings = Settings(tmp_path / "hub", cluster.database(), tick_seconds=0)
    initialise(settings)
    engine = connect(settings)
    with engine.begin() as db:
        command.upgrade(alembic_config(db), "0021")
    engine.dispose()
    return settings


COLUMNS = '(device, model, version, arm, start, "end", observations, predictions, failures, body)'


@pytest.mark.postgres
def test_what_was_there_before_becomes_a_part_and_ends_when_it_is_empty(older: Settings) -> None:
    def say(engine: Engine, device: str, start: int) -> None:
        values = f"'{device}', 'demo', '1.0', 'serving', {start}, {start + 60}, 1, 1, 0, '{{}}'"
        with engine.begin() as db:
            db.execute(text(f"INSERT INTO reports {COLUMNS} VALUES ({values})"))

    running = create_engine(older.database_url)  # a hub at 0021 goes on while it is upgraded
    for device, start in (("d-1", TODAY - DAY), ("*", TODAY - DAY), ("d-1", TODAY + 9 * DAY)):
        say(running, device, start)
    assert upgrade(older).pending == ()
    say(running, "d-2", TODAY)
    say(running, "*", TODAY - 2 * DAY)
    engine = open_engine(older)
    with engine.connect() as db:
        ids = db.execute(select(reports.c.id).order_by(reports.c.id)).scalars().all()
        counts = {
            name: db.execute(text(f"SELECT count(*) FROM reports_{name}")).scalar()
            for name in ("before", "sums", "late")
        }
    assert list(ids) == [1, 2, 3, 4, 5]
    assert counts == {"before": 2, "sums": 2, "late": 1}
    assert names(engine)[0] == "before"
    assert names(engine, "feedback")[0] == of_day(-2)  # it was empty, and nothing is kept of it
    # Rows that no sum has go into their hour as they always did, and then it is dropped.
    days, policy, later = DailyRetention(engine), Retention(report_days=1), TODAY + 4 * DAY
    left = days.clean(later, {"demo": policy})["demo"]["reports"]
    assert all(begin > TODAY for begin, _ in left)
    with engine.begin() as db:
        db.execute(text("DELETE FROM reports_before"))
    days.clean(later, {"demo": policy})
    assert "before" not in names(engine)
    engine.dispose()
    running.dispose()


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("moment", ["DELETE FROM reports_before", "ATTACH PARTITION", "COMMIT"])
def test_a_division_that_is_killed_leaves_the_table_as_it_was(older: Settings, moment: str) -> None:
    engine = connect(older)
    with engine.begin() as db:
        values = "'d-1', 'demo', '1.0', 'serving', 0, 60, 1, 1, 0, '{}'"
        db.execute(text(f"INSERT INTO reports {COLUMNS} VALUES ({values})"))
    words = [str(older.data), older.database or "", moment]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert check(older).current == "0021"
    assert names(engine) == []
    assert count_of(engine) == 1
    assert upgrade(older).pending == ()
    assert names(engine)[0] == "before"
    assert count_of(engine) == 1
    engine.dispose()


def count_of(engine: Engine) -> int:
    with engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(reports)).scalar() or 0)
