"""From every schema that a hub ever had to today's, on SQLite and PostgreSQL.

The frozen databases are dumps of what edge-hub 0.1.0 wrote before there were migrations: a model
with two versions, two devices that report and share rows, a trigger that fired, a canary.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url

from cloud_hub.cli.main import main
from cloud_hub.database import migrate
from cloud_hub.database.engine import connect, metadata
from cloud_hub.database.migrate import (
    MigrationStatus,
    alembic_config,
    check,
    open_engine,
    upgrade,
)
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.fleet.tables import identities
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from tests.postgres import Cluster
from tests.waiting import PATIENCE

HERE = Path(__file__).parent
ALL = tuple(sorted(path.name[1:5] for path in (migrate.MIGRATIONS / "versions").rglob("r*.py")))
HEAD = ALL[-1]
OF_THE_SCHEMA = {"schema_version", "alembic_version"}
DROPPED = {("devices", "token"), ("enrolment_tokens", "model")}
"""Columns that a revision dropped: tokens for life, which no hub takes any more, and the one model
of a token, which is in its list now."""
PARTS = text("SELECT relname FROM pg_class WHERE relispartition")
"""Of tables that PostgreSQL divides by days."""
Made = Callable[[Path], Settings]


def frozen_sqlite(data: Path) -> Settings:
    """A hub's folder with the database of 0.1.0."""
    data.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(data / "hub.db")) as db:
        db.executescript((HERE / "frozen_0_1_sqlite.sql").read_text())
    return Settings(data, tick_seconds=0)


@pytest.fixture(params=["sqlite", "postgresql"])
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A hub of 0.1.0, on either database."""
    data = tmp_path / "hub"
    initialise(Settings(data))
    if request.param == "sqlite":
        return frozen_sqlite(data)
    cluster: Cluster = request.getfixturevalue("cluster")
    url = make_url(cluster.database())
    where = f"host={url.query['host']} user=postgres dbname={url.database}"
    with psycopg.connect(where, autocommit=True) as db:
        db.execute((HERE / "frozen_0_1_postgresql.sql").read_bytes())
    return Settings(data, url.render_as_string(hide_password=False), tick_seconds=0)


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A hub that never served, on either database."""
    initialise(Settings(tmp_path / "hub"))
    if request.param == "sqlite":
        return Settings(tmp_path / "hub", tick_seconds=0)
    cluster: Cluster = request.getfixturevalue("cluster")
    return Settings(tmp_path / "hub", cluster.database(), tick_seconds=0)


@pytest.fixture
def engine(new: Settings) -> Iterator[Engine]:
    engine = open_engine(new)
    yield engine
    engine.dispose()


def rows_of(settings: Settings, like: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
    """Every row of every table as it is; ``like`` earlier rows: only their tables and columns."""
    engine = connect(settings)
    try:
        found = MetaData()
        found.reflect(engine)
        with engine.connect() as db:
            return {
                table.name: _rows(db, table, (like or {}).get(table.name))
                for table in found.sorted_tables
                if table.name not in OF_THE_SCHEMA and (like is None or table.name in like)
            }
    finally:
        engine.dispose()


def as_today(before: dict[str, list[str]]) -> dict[str, list[str]]:
    """The rows with what migrations change in them.

    A number of failed devices is a share now, and uploads are versions of datasets.
    """
    experiments = [
        re.sub(r"('max_failed_devices'): 1\b", r"\1: 0.05", row) for row in before["experiments"]
    ]
    kept = {name: rows for name, rows in before.items() if name != "datasets"}
    return {**kept, "experiments": experiments}


def _rows(db: Connection, table: Table, like: list[str] | None) -> list[str]:
    """The names of the columns, then the rows."""
    every = [name for name in table.columns.keys() if (table.name, name) not in DROPPED]  # noqa: SIM118
    columns = sorted(every) if like is None else like[0].split()
    rows = db.execute(select(*[table.columns[name] for name in columns]))
    return [" ".join(columns), *sorted(repr(tuple(row)) for row in rows)]


def test_the_tables_in_the_code_are_the_schema_at_the_head(engine: Engine) -> None:
    assert differences(engine) == []


def differences(engine: Engine) -> list[object]:
    """What the tables in the database are, and not in the code, or the other way round."""
    with engine.connect() as db:
        parts = {part for (part,) in db.execute(PARTS)} if db.dialect.name != "sqlite" else set()
        words = {"compare_server_default": True, "include_name": lambda n, *_: n not in parts}
        return list(compare_metadata(MigrationContext.configure(db, opts=words), metadata))


def test_a_new_database_is_brought_to_the_head_when_it_is_opened(new: Settings) -> None:
    assert check(new) == MigrationStatus(None, HEAD, ALL)
    open_hub(new).close()
    assert check(new) == MigrationStatus(HEAD, HEAD, ())
    open_hub(new).close()


def test_a_check_makes_no_database(tmp_path: Path) -> None:
    check(Settings(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_0_1_keeps_every_row_and_serves(frozen: Settings) -> None:
    assert check(frozen) == MigrationStatus(None, HEAD, ALL)
    before = rows_of(frozen)
    assert upgrade(frozen) == MigrationStatus(HEAD, HEAD, ())
    assert rows_of(frozen, like=before) == as_today(before)
    engine = open_engine(frozen)
    try:
        assert differences(engine) == []
        with engine.connect() as db:
            assert "schema_version" not in inspect(db).get_table_names()
    finally:
        engine.dispose()
    assert upgrade(frozen) == MigrationStatus(HEAD, HEAD, ())  # once more does nothing
    hub = open_hub(frozen)
    plan = hub.plans.current("demo")
    assert plan is not None
    assert (plan.serial, plan.serving.version) == (3, "1.0")
    assert [r.version for r in hub.registry.versions("demo")] == ["1.0", "1.1"]
    found = [(d.version, d.plan, d.standing) for d in hub.fleet.devices()]
    assert found == [("1.0", 1, "revoked")] * 2  # they had no key, and have to enrol again
    assert [(d.ref, d.rows) for d in hub.datasets.records("demo")] == [("holdout@1", 4)]
    assert hub.telemetry.samples("demo") is None  # rows of devices that are out train nothing
    with hub.engine.begin() as db:
        db.execute(update(identities).values(standing="active"))
    samples = hub.telemetry.samples("demo")
    assert samples is not None
    assert len(samples) == 8
    assert hub.experiments.get("demo-canary-1").status == "running"
    assert len(hub.audit.entries("demo")) == 12
    hub.close()


def test_an_older_database_is_not_served_but_told_what_to_run(frozen: Settings) -> None:
    with pytest.raises(Conflict, match=f"then run edge-hub db upgrade {frozen.data}") as caught:
        open_hub(frozen)
    assert ("--database postgresql" in str(caught.value)) is (frozen.database is not None)
    assert check(frozen).pending == ALL


def test_serve_says_what_to_run_and_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    initialise(Settings(tmp_path))
    frozen_sqlite(tmp_path)
    assert main(["serve", str(tmp_path), "--port", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith(f"make a backup, then run edge-hub db upgrade {tmp_path}\n")
    assert not (tmp_path / "hub.url").exists()


def test_days_and_flags_of_a_device_become_those_of_the_model_that_it_had(new: Settings) -> None:
    engine = connect(new)
    with engine.begin() as db:
        command.upgrade(alembic_config(db), "0013")
    engine.dispose()
    _say(
        new,
        "INSERT INTO devices (device, model, enrolled_at, seen_at, attributes, plan, phase, failed,"
        " waiting, sharing, software)"
        " VALUES ('d-1', 'demo', 1, 2, '{}', 0, 'idle', '[]', 0, false, '{}')",
        "INSERT INTO device_days VALUES ('d-1', 86400, 1, 2, 3, 4, 5)",
        "INSERT INTO device_days VALUES ('d-gone', 86400, 1, 2, 3, 4, 5)",
        "INSERT INTO device_flags VALUES ('d-1', 'counts', 'demo', 'too many', 1, 2, 3)",
    )
    assert upgrade(new).current == HEAD
    rows = rows_of(new)
    assert rows["device_days"][1:] == [repr((4, 86_400, "d-1", 2, "demo", 1, 3, 5))]
    assert rows["device_flags"][1:] == [repr((3, "d-1", 1.0, "counts", 2.0, "demo", "too many"))]


def _say(settings: Settings, *statements: str) -> Settings:
    engine = create_engine(settings.database_url)
    with engine.begin() as db:
        for statement in statements:
            db.execute(text(statement))
    engine.dispose()
    return settings


def dump(data: Path) -> list[str]:
    """Everything in a hub's SQLite file, as SQL."""
    with contextlib.closing(sqlite3.connect(data / "hub.db")) as db:
        return list(db.iterdump())


def newer(data: Path) -> Settings:
    settings = Settings(data)
    open_engine(settings).dispose()
    return _say(settings, "UPDATE alembic_version SET version_num = '9999'")


def too_old(data: Path) -> Settings:
    return _say(frozen_sqlite(data), "UPDATE schema_version SET version = 3")


REFUSED: dict[str, tuple[Made, str]] = {
    "made by a newer hub": (newer, "its schema 9999 is unknown here.* a newer edge-hub made it"),
    "older than the first release": (too_old, "expected schema 4 or newer, got 3"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("work", [check, upgrade, open_engine])
def test_a_database_to_which_no_way_leads_is_refused(
    tmp_path: Path, case: str, work: Callable[[Settings], object]
) -> None:
    make, reason = REFUSED[case]
    settings = make(tmp_path)
    before = dump(tmp_path)
    with pytest.raises(Conflict, match=reason):
        work(settings)
    assert dump(tmp_path) == before


def test_a_database_that_was_made_by_half_is_completed(tmp_path: Path) -> None:
    """Hubs of 0.1 wrote table by table; the number of the schema came last."""
    undone = "DELETE FROM schema_version", "DROP TABLE versions", "DROP TABLE votes"
    settings = _say(frozen_sqlite(tmp_path), *undone)
    assert upgrade(settings).pending == ()
    assert {"versions", "votes"} <= set(rows_of(settings))


def test_a_hub_that_is_served_is_not_upgraded(tmp_path: Path) -> None:
    settings = frozen_sqlite(tmp_path)
    with sole_server(tmp_path), pytest.raises(Conflict, match="is served already"):
        upgrade(settings)
    assert check(settings).pending == ALL


def test_a_folder_that_holds_no_hub_is_an_error(tmp_path: Path) -> None:
    for work in (check, upgrade):
        with pytest.raises(NotFound, match="holds no hub; run edge-hub init"):
            work(Settings(tmp_path / "none"))
        with pytest.raises(HubFault, match="expected a URL such as"):
            work(Settings(tmp_path, "nonsense"))


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from cloud_hub.database.migrate import upgrade
from cloud_hub.settings import Settings

def die_at(statement):
    if sys.argv[3] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", lambda _, __, statement, *rest: die_at(statement))
event.listen(Engine, "commit", lambda _: die_at("COMMIT"))
upgrade(Settings(Path(sys.argv[1]), sys.argv[2] or None))
"""
MOMENTS = [
    "CREATE TABLE alembic_version", "INSERT INTO alembic_version", "DROP TABLE",
    "UPDATE alembic_version", "COMMIT",
]  # fmt: skip


def test_an_upgrade_that_is_killed_leaves_the_old_schema(frozen: Settings) -> None:
    before = rows_of(frozen)
    for moment in MOMENTS:
        words = [str(frozen.data), frozen.database or "", moment]
        done = subprocess.run([sys.executable, "-c", KILLED, *words], timeout=PATIENCE, check=False)
        assert done.returncode == -signal.SIGKILL, moment
        assert check(frozen) == MigrationStatus(None, HEAD, ALL)
        assert rows_of(frozen) == before
    assert upgrade(frozen).current == HEAD
    assert rows_of(frozen, like=before) == as_today(before)


def test_two_that_upgrade_at_once_are_one_after_the_other(new: Settings) -> None:
    """Workers of one PostgreSQL may start together; the data folders need not be one."""
    code = (
        "import sys; from pathlib import Path; from cloud_hub.settings import Settings\n"
        "from cloud_hub.database.migrate import open_engine\n"
        "open_engine(Settings(Path(sys.argv[1]), sys.argv[2] or None)).dispose()"
    )
    words = [sys.executable, "-c", code, str(new.data), new.database or ""]
    both = [subprocess.Popen(words) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    assert check(new).pending == ()


def test_revisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (migrate.MIGRATIONS / "versions").rglob("r*.py"))
    assert [name[1:5] for name in names] == [f"{i:04d}" for i in range(1, len(names) + 1)]


def test_the_next_revision_is_drafted_from_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from sqlalchemy import Column, Integer

    from cloud_hub.database.migrations.__main__ import draft

    shutil.copytree(migrate.MIGRATIONS, tmp_path / "migrations")
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    table = Table("of_tomorrow", metadata, Column("id", Integer, primary_key=True))
    try:
        path = draft("tables of tomorrow")
    finally:
        metadata.remove(table)
    assert path.name == f"r{int(HEAD) + 1:04d}_tables_of_tomorrow.py"
    assert f"down_revision = '{HEAD}'" in path.read_text()
    assert "of_tomorrow" in path.read_text()
