"""Backups that are whole, torn, changed, locked; restores that are killed; moves there and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from cloud_hub.backup.counters import MARGIN, serials_ahead, versions_ahead
from cloud_hub.backup.left_out import OmittedPredictions
from cloud_hub.backup.manifest import MANIFEST_FILE, SavedTable
from cloud_hub.backup.moving import move
from cloud_hub.backup.portable_rows import digest_table, tables_of
from cloud_hub.backup.restoring import RestoreOptions, open_backup, restore
from cloud_hub.backup.saving import SavedBackup, SavingOptions, one_moment, save
from cloud_hub.cli.main import main
from cloud_hub.database.engine import connect
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.hub import Hub, open_hub
from cloud_hub.observability.doctor import examine_data
from cloud_hub.plans.tables import plans
from cloud_hub.registry.metadata_folder import MetadataFolder
from cloud_hub.registry.tables import versions
from cloud_hub.settings import Settings
from tests.buckets import BucketServer
from tests.edge.builders import make_release
from tests.hub.batch.shop import computed, declare, job, users
from tests.postgres import Cluster
from tests.processes.ready import run_ready
from tests.simulated_device import enrolled
from tests.waiting import PATIENCE

CANARY = ExperimentSpec("demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0)
LOCKED = SavingOptions(secrets=True, passphrase="correct horse")
OPEN = RestoreOptions(passphrase="correct horse")
RESTORING = """
import os, sys
from pathlib import Path

from cloud_hub.backup.restoring import RestoreOptions, open_backup, restore
from cloud_hub.settings import Settings

backup, data, database, artifacts, word = sys.argv[1:]

def told(what):
    if what.startswith(word):
        os._exit(9)

settings = Settings(Path(data), database, artifacts=artifacts)
restore(open_backup(Path(backup)), settings, RestoreOptions(passphrase="correct horse"), told=told)
"""


@pytest.fixture
def busy(serving: Hub, tmp_path: Path) -> Hub:
    """A hub with a model that serves, devices, a canary, and odd characters."""
    token = serving.fleet.new_token("demo", uses=9, seconds=60, actor="Zoë ☃ \\ \t 'q'")
    for n in range(3):
        enrolled(serving, token, attributes={"place": f"Tromsø {n}"})
    serving.registry.publish(make_release(tmp_path / "next", version="1.1", seed=2), actor="test")
    serving.experiments.run(CANARY, actor="test")
    return serving


@pytest.fixture
def saved(busy: Hub, tmp_path: Path) -> SavedBackup:
    return save(busy.settings, tmp_path / "backup", LOCKED)


def tables(settings: Settings) -> dict[str, SavedTable]:
    engine = connect(settings)
    with one_moment(engine) as db:
        found = {table.name: digest_table(db, table) for table in tables_of(db)}
    engine.dispose()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_restored_hub_has_every_row_and_counts_on(busy: Hub, tmp_path: Path) -> None:
    saved = save(busy.settings, tmp_path / "backup", LOCKED)
    settings = Settings(tmp_path / "again", tick_seconds=0)
    restored = restore(open_backup(saved.folder, saved.sha256), settings, OPEN)
    assert (restored.new_tokens, restored.releases_signed) == (False, True)
    seen = busy.repository.files
    hub = open_hub(settings)
    try:
        assert [d.device for d in hub.fleet.devices()] == [d.device for d in busy.fleet.devices()]
        files = hub.repository.files
        for role in ("releases", "plans", "snapshot"):
            assert files.version(role) >= seen.version(role) + MARGIN
        now, before = hub.plans.current("demo"), busy.plans.current("demo")
        assert now is not None
        assert before is not None
        assert (now.serving, now.serial >= before.serial + MARGIN) == (before.serving, True)
        assert hub.repository.has_plan(now)
        # Nobody knows whether it was aborted since: it ends, and what served goes on.
        assert (before.experiment is not None, now.experiment) == (True, None)
        assert [trial.status for trial in hub.experiments.records("demo")] == ["stopped"]
        assert hub.audit.entries(action="restore")
        assert hub.registry.release("demo", "1.1").digest
    finally:
        hub.close()
    secrets = [settings.data, *(settings.data / "keys").iterdir(), settings.data / "admin.token"]
    assert not any(path.stat().st_mode & 0o077 for path in secrets)


def test_predictions_of_batch_jobs_are_left_out_which_is_told_and_computed_again(
    serving: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(serving, job(f"{{parquet: {users(tmp_path / 'users.parquet', 30)}}}"))
    assert computed(serving).status == "whole"
    said = "1 generation of batch predictions (30 rows)"
    settings = serving.settings
    where = [] if settings.database is None else ["--database", settings.database]
    assert main(["backup", f"{settings.data}", f"{tmp_path / 'backup'}", *where]) == 0
    assert f"left out: {said}; their jobs compute them again" in capsys.readouterr().out
    checks = examine_data(settings, lambda: serving.keys)
    (told,) = (check.says for check in checks if check.name == "backups")
    assert (
        told == f"edge-hub backup saves everything but {said}, which their jobs compute again "
        "after a restore"
    )
    saved = save(settings, tmp_path / "locked", LOCKED)
    restored = restore(
        open_backup(saved.folder), Settings(tmp_path / "again", tick_seconds=0), OPEN
    )
    assert restored.left_out == saved.left_out == OmittedPredictions(1, 30)
    hub = open_hub(Settings(tmp_path / "again", tick_seconds=0))
    try:
        assert [record.status for record in hub.batches.records("demo")] == ["dropped"]
        assert computed(hub).status == "whole"
    finally:
        hub.close()


@pytest.mark.parametrize("change", ["cut", "flip", "remove", "unfinished", "another"])
def test_a_backup_that_is_torn_or_changed_is_refused(saved: SavedBackup, change: str) -> None:
    path = next(iter(sorted((saved.folder / "targets").rglob("*.onnx"))))
    raw, expect = path.read_bytes(), None
    if change == "cut":
        path.write_bytes(raw[:-1])
    elif change == "flip":
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif change == "remove":
        path.unlink()
    elif change == "unfinished":
        (saved.folder / MANIFEST_FILE).unlink()
    else:
        expect = "0" * 64
    with pytest.raises((Invalid, NotFound), match="backup"):
        open_backup(saved.folder, expect)


def test_keys_are_in_a_backup_only_when_asked_and_locked(
    busy: Hub, saved: SavedBackup, tmp_path: Path
) -> None:
    data, key = busy.settings.data, (busy.settings.data / "keys" / "online.pem").read_text()
    token = (data / "admin.token").read_bytes()
    assert not any(token in raw or b"PRIVATE" in raw for raw in files(saved.folder).values())
    for wrong in (None, "wrong horse"):
        with pytest.raises(Invalid, match=r"locked|passphrase is wrong"):
            restore(open_backup(saved.folder), Settings(tmp_path / "no"), RestoreOptions(wrong))
    without = save(busy.settings, tmp_path / "without")
    with pytest.raises(Invalid, match="--keys FOLDER"):
        restore(open_backup(without.folder), Settings(tmp_path / "no"))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".no", "no"))]
    again = Settings(tmp_path / "again", tick_seconds=0)
    made = restore(open_backup(without.folder), again, RestoreOptions(keys=data / "keys"))
    assert made.new_tokens
    assert (again.data / "keys" / "online.pem").read_text() == key
    assert (again.data / "admin.token").read_bytes() != token


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here (it needs root): {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=PATIENCE)


def test_a_disk_that_fills_up_leaves_nothing_behind(busy: Hub, small: Path, tmp_path: Path) -> None:
    with pytest.raises(HubFault, match=r"the disk is full, and nothing of it was kept"):
        save(busy.settings, small / "backup", LOCKED)
    assert list(small.iterdir()) == []
    saved = save(busy.settings, tmp_path / "backup", LOCKED)
    with pytest.raises(HubFault, match=r"disk is full|disk I/O error"):
        restore(open_backup(saved.folder), Settings(small / "hub"), OPEN)
    assert list(small.iterdir()) == []


def test_nothing_is_ever_overwritten(busy: Hub, saved: SavedBackup, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="nothing is ever overwritten"):
        save(busy.settings, saved.folder)
    with pytest.raises(Conflict, match="nothing is ever overwritten"):
        restore(open_backup(saved.folder), busy.settings, OPEN)


@pytest.mark.parametrize(
    ("later", "said"),
    [(-3_600, "3600 s behind the time of the backup"), (30 * 86_400, "--confirm-clock")],
)
def test_a_clock_that_the_backup_does_not_vouch_for_signs_nothing(
    saved: SavedBackup, tmp_path: Path, later: float, said: str
) -> None:
    settings, now = Settings(tmp_path / "again"), saved.manifest.made_at + later
    with pytest.raises(Conflict, match=said):
        restore(open_backup(saved.folder), settings, OPEN, clock=lambda: now)


def test_a_publisher_whose_key_is_elsewhere_signs_once_more(busy: Hub, tmp_path: Path) -> None:
    key = busy.settings.data / "keys" / "releases.pem"
    elsewhere = key.rename(tmp_path / "releases.pem")
    saved = save(busy.settings, tmp_path / "backup", LOCKED)
    for name, signers in {"without": (), "with": (elsewhere,)}.items():
        settings = Settings(tmp_path / name)
        options = RestoreOptions("correct horse", signers=signers)
        made = restore(open_backup(saved.folder), settings, options)
        assert made.releases_signed == bool(signers)
        newest = MetadataFolder(settings.data / "repository" / "metadata").version("releases")
        assert (newest > MARGIN) == bool(signers)


def test_a_hub_of_a_year_ago_is_ahead_of_all_it_can_have_published() -> None:
    year = 365 * 86_400
    assert versions_ahead(0.0, year) > 100 * year
    assert 2**31 > serials_ahead(0.0, 20 * year) > 20 * year  # serials have 32 bits


@pytest.mark.s3
def test_a_restore_that_was_killed_is_run_again(
    busy: Hub, cluster: Cluster, buckets: BucketServer, tmp_path: Path
) -> None:
    saved = save(busy.settings, tmp_path / "backup", LOCKED)
    settings = Settings(tmp_path / "again", cluster.database(), artifacts=buckets.bucket())
    # No fork: the threads of a bucket's client may hold a lock that a child would wait for.
    places = (saved.folder, settings.data, settings.database, settings.artifacts)
    for word in ("blobs", "targets", "tables", "signatures"):
        assert run_ready("hub", ["-c", RESTORING, *map(str, places), word]).returncode == 9
        assert not settings.data.exists()
    restore(open_backup(saved.folder), settings, OPEN)
    hub = open_hub(settings)
    hub.close()
    other = Settings(tmp_path / "other", settings.database)
    with pytest.raises(Conflict, match="nothing is ever overwritten"):
        restore(open_backup(saved.folder), other, OPEN)


@pytest.mark.s3
def test_a_hub_moves_there_and_back_and_is_the_same(
    busy: Hub, cluster: Cluster, buckets: BucketServer, tmp_path: Path
) -> None:
    old = busy.settings
    with busy.engine.begin() as db:
        db.execute(update(versions).values(metrics={"score": 0.1, "none": None, "ünï": [1, 2.5]}))
    busy.close()
    first, blobs = tables(old), files(old.data / "repository" / "targets")
    there = Settings(
        tmp_path / "there", cluster.database(), tick_seconds=0, artifacts=buckets.bucket()
    )
    back = Settings(tmp_path / "back", tick_seconds=0)
    with sole_server(old.data), pytest.raises(Conflict, match="served already"):
        move(old, there)
    moved = move(old, there)
    assert (moved.tables, moved.artifacts >= len(blobs)) == (len(first), True)
    assert tables(there) == first
    with pytest.raises(Conflict, match="was moved to"):
        open_hub(old)
    hub = open_hub(there)
    hub.audit.record("test", "look", None)  # PostgreSQL goes on counting after the last row
    assert hub.audit.entries()[-1].action == "look"
    hub.close()
    move(there, back)
    assert files(back.data / "repository" / "targets") == blobs
    again = open_hub(back)
    with again.engine.connect() as db:
        serial = db.execute(select(func.max(plans.c.serial))).scalar()
    assert serial == 2  # nothing was signed anew
    again.close()
