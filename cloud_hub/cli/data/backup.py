"""``edge-hub backup``, ``restore`` and ``move``: a hub's whole data as one folder, elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_hub.cli.shared.output import Result, busy, local_time, warn
from cloud_hub.cli.shared.registration import ADMINISTER, command
from cloud_hub.cli.shared.storage_options import Artifacts, Database

if TYPE_CHECKING:
    from cloud_hub.backup.restoring import RestoredHub

DataFolder = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the hub.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; not there yet.")]
Backup = Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder that backup wrote.")]
NewData = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of the hub to make; empty, or not there yet.")
]
WithKeys = Annotated[
    bool, typer.Option("--with-keys", help="Private keys and tokens too: the backup is a secret.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its first line locks, or unlocks, keys and tokens."),
]
KeysFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Private keys (PEM), where the backup has none."),
]
PublisherKeys = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="PEM", help="Private releases key kept elsewhere; may repeat."),
]
Expect = Annotated[
    str | None,
    typer.Option(metavar="SHA256", help="Digest that backup printed: refuse any other one."),
]
ConfirmClock = Annotated[
    bool,
    typer.Option("--confirm-clock", help="The clock of this machine is right, for an old backup."),
]
ToDatabase = Annotated[
    str | None,
    typer.Option(metavar="URL", help="SQLAlchemy URL of an empty database; default: SQLite in it."),
]
ToArtifacts = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Bucket without a hub; default: folders in it."),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``backup``, ``restore`` and ``move``."""
    backup = "edge-hub backup hub-data /backups/monday --with-keys --passphrase-file secret"
    command(app, "backup", panel=ADMINISTER, example=backup)(_backup)
    restore = "edge-hub restore /backups/monday hub-data --passphrase-file secret"
    command(app, "restore", panel=ADMINISTER, example=restore)(_restore)
    move = "edge-hub move hub-data hub --to-database postgresql+psycopg://db/hub"
    command(app, "move", panel=ADMINISTER, example=move)(_move)


def _backup(
    data: DataFolder,
    out: Out,
    database: Database = None,
    artifacts: Artifacts = None,
    with_keys: WithKeys = False,
    passphrase_file: PassphraseFile = None,
) -> Result:
    """Write everything of a hub to a folder, while it serves."""
    from dataclasses import asdict

    from cloud_hub.backup.saving import SavingOptions, save
    from cloud_hub.settings import Settings

    passphrase = _passphrase(passphrase_file)
    if with_keys and passphrase is None:
        warn("keys and tokens are not locked: whoever reads the backup is the hub")
    options = SavingOptions(with_keys, passphrase)
    with busy("backup"):
        made = save(Settings(data, database, artifacts=artifacts), out, options)
    if made.manifest.missing:
        warn(f"{len(made.manifest.missing)} artifacts that tables name are not in the hub")
    told = {
        "backup": str(out), "sha256": made.sha256, "made_at": made.manifest.made_at,
        "tables": len(made.manifest.tables),
        "rows": sum(table.rows for table in made.manifest.tables.values()),
        "files": len(made.manifest.files),
        "bytes": sum(file.bytes for file in made.manifest.files.values()),
        "secrets": made.manifest.secrets, "missing": list(made.manifest.missing),
        "left_out": asdict(made.left_out),
    }  # fmt: skip
    return Result(told, _backup_text)


def _backup_text(made: dict[str, Any]) -> str:
    keys = {
        "none": "without keys: keep DATA/keys elsewhere, or nobody can restore it",
        "plain": "with keys, not locked",
        "encrypted": "with keys, locked",
    }[made["secrets"]]
    return (
        f"{made['backup']}: the hub of {local_time(made['made_at'])}, {keys}\n"
        f"  {made['rows']:,} rows of {made['tables']} tables, {made['files']:,} files, "
        f"{made['bytes'] / 1e6:,.1f} MB\n  sha256: {made['sha256']}"
        f"{_left_out_text(made['left_out'])}"
    )


def _left_out_text(found: dict[str, int]) -> str:
    """The line about what is in no backup; empty if there is nothing."""
    from cloud_hub.backup.left_out import OmittedPredictions

    said = OmittedPredictions(**found).text()
    return f"\n  left out: {said}; their jobs compute them again after a restore" if said else ""


def _restore(
    backup: Backup,
    data: NewData,
    database: Database = None,
    artifacts: Artifacts = None,
    passphrase_file: PassphraseFile = None,
    keys: KeysFolder = None,
    key: PublisherKeys = None,
    expect: Expect = None,
    confirm_clock: ConfirmClock = False,
) -> Result:
    """Make a hub of a backup, in an empty place; devices go on with it."""
    from cloud_hub.backup.restoring import RestoreOptions, open_backup, restore
    from cloud_hub.settings import Settings

    options = RestoreOptions(
        _passphrase(passphrase_file), keys, tuple(key or ()), confirm_clock=confirm_clock
    )
    with busy("restore"):
        content = open_backup(backup, expect)
        made = restore(content, Settings(data, database, artifacts=artifacts), options)
    return Result(_plain(made), _restore_text)


def _move(
    data: DataFolder,
    new: NewData,
    database: Database = None,
    artifacts: Artifacts = None,
    to_database: ToDatabase = None,
    to_artifacts: ToArtifacts = None,
) -> Result:
    """Bring a hub that nobody serves to another folder, database or bucket; compare everything."""
    from cloud_hub.backup.moving import move
    from cloud_hub.settings import Settings

    with busy("move"):
        made = move(
            Settings(data, database, artifacts=artifacts),
            Settings(new, to_database, artifacts=to_artifacts),
        )
    told = {**_plain(made), "from": str(data)}
    return Result(told, _move_text)


def _move_text(made: dict[str, Any]) -> str:
    return (
        f"{made['from']} is now {made['data']}: {made['rows']:,} rows of {made['tables']} tables "
        f"and {made['artifacts']:,} artifacts were compared and are the same\n"
        f"  {made['from']} was not changed, and refuses to be served from now on"
        f"{_left_out_text(made['left_out'])}\n"
        f"next: edge-hub serve {made['data']}, with the same --database and --artifacts"
    )


def _plain(made: RestoredHub) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(made), "data": str(made.data)}


def _restore_text(made: dict[str, Any]) -> str:
    lines = [
        f"{made['data']}: the hub of {local_time(made['made_at'])}; {made['rows']:,} rows of "
        f"{made['tables']} tables and {made['artifacts']:,} artifacts are what the backup has",
        "  what came later is lost: reports, devices, revocations, releases; look at those that "
        f"people remember{_left_out_text(made['left_out'])}",
    ]
    if made["new_tokens"]:
        lines.append(f"  the tokens are new: {made['data']}/admin.token")
    if not made["releases_signed"]:
        lines.append(
            "  releases was not signed again, its key is elsewhere: if something was published "
            "after the backup, devices refuse updates until it is published once more"
        )
    return "\n".join([*lines, f"next: edge-hub serve {made['data']}"])


def _passphrase(path: Path | None) -> str | None:
    from cloud_hub.errors import Invalid

    if path is None:
        return None
    text = path.read_text().partition("\n")[0].strip()
    if not text:
        raise Invalid(f"{path}: expected a passphrase in its first line")
    return text
