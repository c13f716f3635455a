"""An old and a new worker side by side: revisions add, and take away one release later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, create_engine, text

from cloud_hub.cli.main import main
from cloud_hub.database.engine import connect
from cloud_hub.database.leader import TermLeadership
from cloud_hub.database.migrate import MigrationStatus, alembic_config, check, open_engine, upgrade
from cloud_hub.database.schema_support import FIRST, check_no_older_hub
from cloud_hub.errors import Conflict
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from tests.hub.database.test_migrations import ALL, HEAD
from tests.postgres import Cluster

STATED = {
    each.revision: getattr(each.module, "oldest", None)
    for each in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    if each.revision >= FIRST
}


def contractions(before: MetaData, after: MetaData) -> list[str]:
    """What a hub that knows the tables of ``before`` cannot do with those of ``after``."""
    found = []
    for table in before.sorted_tables:
        now = after.tables.get(table.name)
        if now is None:
            found.append(f"{table.name} is gone")
            continue
        found += [f"{table.name}.{name} is gone" for name in _names(table) - _names(now)]
        for name in _names(table) & _names(now):
            if str(table.c[name].type) != str(now.c[name].type):
                found.append(f"{table.name}.{name} has another type")
            if table.c[name].nullable and not now.c[name].nullable:
                found.append(f"{table.name}.{name} must have a value by now")
        for name in _names(now) - _names(table):
            column = now.c[name]
            if not column.nullable and column.server_default is None:
                found.append(f"{table.name}.{name} is new, and must have a value")
        if [c.name for c in table.primary_key] != [c.name for c in now.primary_key]:
            found.append(f"{table.name} has another primary key")
    return found


def _names(table: Table) -> set[str]:
    return {column.name for column in table.columns}


def reflected(engine: Engine) -> MetaData:
    found = MetaData()
    found.reflect(engine)
    return found


@pytest.mark.parametrize("revision", sorted(STATED))
def test_a_revision_that_serves_older_hubs_only_adds(tmp_path: Path, revision: str) -> None:
    oldest = STATED[revision]
    assert oldest in ALL, f'{revision}: say oldest = "…", see CONTRIBUTING.md'
    engine = create_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with engine.begin() as db:
        command.upgrade(alembic_config(db), oldest)
    before = reflected(engine)
    with engine.begin() as db:
        command.upgrade(alembic_config(db), revision)
    assert contractions(before, reflected(engine)) == []
    engine.dispose()


def test_what_takes_away_is_noticed(tmp_path: Path) -> None:
    first = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    then = create_engine(f"sqlite:///{tmp_path / 'b.db'}")
    with first.begin() as db, then.begin() as later:
        db.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)"))
        db.execute(text("CREATE TABLE dropped (id INTEGER PRIMARY KEY)"))
        words = "id INTEGER PRIMARY KEY, a TEXT NOT NULL, c TEXT NOT NULL, d TEXT, e INT DEFAULT 1"
        later.execute(text(f"CREATE TABLE kept ({words})"))
    found = contractions(reflected(first), reflected(then))
    assert sorted(found) == [
        "dropped is gone",
        "kept.a must have a value by now",
        "kept.b is gone",
        "kept.c is new, and must have a value",
    ]
    first.dispose()
    then.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A hub whose database is at this version's tables."""
    url = None
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.database()
    settings = Settings(tmp_path / "hub", url, tick_seconds=0)
    initialise(settings)
    open_engine(settings).dispose()
    return settings


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = create_engine(settings.database_url)
    yield engine
    engine.dispose()


def migrate_to_the_next_release(engine: Engine, oldest: str) -> None:
    """What a newer hub's upgrade leaves: a table and a column that this hub knows nothing of."""
    with engine.begin() as db:
        db.execute(text("CREATE TABLE of_tomorrow (id INTEGER PRIMARY KEY)"))
        db.execute(text("ALTER TABLE models ADD COLUMN owner TEXT"))
        db.execute(text("UPDATE alembic_version SET version_num = '9998'"))
        db.execute(text(f"INSERT INTO schema_support VALUES ('9998', '{oldest}')"))


def test_a_worker_serves_on_tables_of_the_next_release_that_serve_it(
    settings: Settings, engine: Engine
) -> None:
    hub = open_hub(settings)  # it runs while the tables are upgraded
    migrate_to_the_next_release(engine, oldest=HEAD)
    hub.registry.ensure_model("before")
    hub.close()
    assert check(settings) == MigrationStatus("9998", HEAD, ())
    assert upgrade(settings) == MigrationStatus("9998", HEAD, ())  # the older one changes nothing
    hub = open_hub(settings)  # and one that is started again serves too
    hub.registry.ensure_model("after")
    assert hub.registry.models() == ["after", "before"]
    hub.close()


def test_a_worker_refuses_tables_that_do_not_serve_it(settings: Settings, engine: Engine) -> None:
    migrate_to_the_next_release(engine, oldest="9997")
    with pytest.raises(Conflict, match="its schema 9998 is unknown here"):
        open_engine(settings)


@pytest.mark.postgres
def test_what_running_hubs_use_is_not_taken_from_them(cluster: Cluster, tmp_path: Path) -> None:
    settings = Settings(tmp_path, cluster.database())
    words = {"application_name": "edge-hub elsewhere 1 0"}
    running = create_engine(settings.database_url, connect_args=words)
    engine = connect(settings)
    with running.connect() as worker, engine.connect() as db:
        worker.execute(text("SELECT 1"))
        check_no_older_hub(db, HEAD, {"9998": HEAD})  # it only adds
        with pytest.raises(Conflict, match="drops what hubs at .* 1 of their processes"):
            check_no_older_hub(db, HEAD, {"9998": "9998"})
    running.dispose()
    engine.dispose()


@pytest.mark.postgres
def test_the_status_of_a_database_names_tables_and_leader(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tmp_path / "hub", cluster.database())
    initialise(settings)
    assert main(["db", "status", str(settings.data), "--database", settings.database_url]) == 0
    assert "at no revision" in capsys.readouterr().out
    engine = open_engine(settings)
    leadership = TermLeadership(engine)
    leadership.take()
    assert main(["db", "status", str(settings.data), "--database", settings.database_url]) == 0
    printed = capsys.readouterr().out
    assert f"postgresql, at {HEAD}" in printed
    assert f"hubs it serves: {STATED[HEAD]} and newer" in printed
    leadership.close()
    engine.dispose()


def test_the_status_of_the_embedded_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tmp_path / "hub")
    initialise(settings)
    open_engine(settings).dispose()
    assert main(["db", "status", str(settings.data)]) == 0
    assert f"database: sqlite, at {HEAD}" in capsys.readouterr().out
