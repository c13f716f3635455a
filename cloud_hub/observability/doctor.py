"""Examines a hub: its data from inside, whether it is served or not, and its answers from outside.

It changes nothing, but for a few bytes that it writes to the artifact store and deletes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.api.token_files import ADMIN_FILE, METRICS_FILE, check_usable
from cloud_hub.backup.left_out import left_out
from cloud_hub.database.engine import connect, database_errors
from cloud_hub.errors import HubFault
from cloud_hub.observability.checks import (
    HealthCheck,
    disk_room,
    judge_clock,
    judge_disk,
    judge_keys,
)
from cloud_hub.observability.store_probe import probe_store
from cloud_hub.storage.private_files import OTHERS, SECRETS
from cloud_hub.storage.stores import open_stores

if TYPE_CHECKING:
    from cloud_hub.registry.keys.service import Keys
    from cloud_hub.settings import Settings

CLOCK_SECONDS: Final = 60.0
"""By which the clocks of a hub and of who looks at it may differ."""

PROBE: Final = "probe-doctor"


def examine_data(settings: Settings, open_keys: Callable[[], Keys]) -> Iterator[HealthCheck]:
    """Examine the data of a hub, on its own machine.

    Args:
        settings: say where it is.
        open_keys: opens the hub's keys; raises HubFault where the folder holds no hub.
    """
    try:
        keys = open_keys()
    except (HubFault, OSError) as error:
        todo = "name the folder of a hub, or make one: edge-hub init DATA"
        yield HealthCheck("data", "fail", str(error), todo)
        return
    yield HealthCheck("data", "ok", f"{settings.data} holds a hub")
    yield _permissions(settings.data)
    yield _tokens(settings.data)
    yield _guarded("database", lambda: _database(settings), "see that it runs; then ask again")
    yield _guarded("artifacts", lambda: _artifacts(settings), "see that the user of the hub may "
                   "write where artifacts are, and that there is room")  # fmt: skip
    yield _guarded("backups", lambda: _backups(settings), "see that the database runs")
    todo = "see that DATA/keys and DATA/repository are there and readable; docs/KEYS.md"
    yield _guarded("keys", lambda: judge_keys(keys.status()), todo)
    yield _guarded("clock", lambda: judge_clock(keys.status().clock), todo)
    yield judge_disk(*disk_room(settings.data), settings.alarms.disk_share)


def examine_answers(
    health: Mapping[str, Any] | None, date: str | None, *, now: float
) -> Iterator[HealthCheck]:
    """Judge what a hub answered.

    Args:
        health: what it told its administrator; ``None`` without a token.
        date: when it says that it is, as in the header ``Date`` of its answer.
        now: Unix seconds.
    """
    yield HealthCheck("answers", "ok", "the hub answers")
    off = 0.0 if date is None else parsedate_to_datetime(date).timestamp() - now
    if abs(off) > CLOCK_SECONDS:
        says = f"the hub's is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the one here"
        yield HealthCheck("clocks", "warn", says, "set both by NTP")
    else:
        yield HealthCheck("clocks", "ok", "the hub's agrees with the one here")
    for check in () if health is None else health.get("checks", ()):
        name = f"hub: {check['name']}"
        yield HealthCheck(name, check["state"], check["says"], check.get("todo", ""))


def silent(reason: str, *, is_ours: bool) -> HealthCheck:
    """Return the check of a hub that does not answer.

    Args:
        reason: a sentence.
        is_ours: its data is on this machine.
    """
    todo = "start it: edge-hub serve DATA" if is_ours else "see that it runs, and what is between"
    return HealthCheck("answers", "fail", reason, todo)


def _permissions(data: Path) -> HealthCheck:
    """Whether others on this machine can read what is for the hub alone."""
    secrets = [data, data / "keys", *(path for each in SECRETS for path in data.glob(each))]
    others = [path for path in secrets if path.exists() and path.stat().st_mode & OTHERS]
    if not others:
        return HealthCheck("permissions", "ok", "only the hub's user can read its secrets")
    names = ", ".join(str(path) for path in others[:5])
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    todo = f"chmod -R go= {data}; then replace keys and tokens that others may have read"
    return HealthCheck("permissions", "warn", f"others can read {names}{more}", todo)


def _tokens(data: Path) -> HealthCheck:
    try:
        check_usable(data / ADMIN_FILE)
    except HubFault as error:
        return HealthCheck(
            "tokens", "fail", str(error), f"write a long secret into {data / ADMIN_FILE}"
        )
    if not (data / METRICS_FILE).exists():
        path = data / METRICS_FILE
        says = f"{path} is not there: only the administrator can read metrics"
        return HealthCheck("tokens", "warn", says, f"(umask 077; openssl rand -hex 32 > {path})")
    return HealthCheck("tokens", "ok", "administrator's and reader's are there")


def _database(settings: Settings) -> HealthCheck:
    from cloud_hub.database.migrate import check

    status = check(settings)
    if status.pending and status.current is not None:
        says = f"its tables are at {status.current}, this version needs {status.head}"
        todo = f"back it up, stop the hub, then: edge-hub db upgrade {settings.data}"
        return HealthCheck("database", "fail", says, todo)
    return HealthCheck("database", "ok", f"its tables are at {status.current or 'their beginning'}")


def _backups(settings: Settings) -> HealthCheck:
    """What a backup of this hub would leave out."""
    from cloud_hub.database.migrate import check

    try:
        current = check(settings).current
    except HubFault:  # the check of the database says why
        return HealthCheck("backups", "warn", "the database cannot be read", "see its own check")
    if current is None:
        return HealthCheck("backups", "ok", "there is nothing to save yet")
    engine = connect(settings)
    try:
        with database_errors(settings), engine.connect() as db:
            said = left_out(db).text()
    finally:
        engine.dispose()
    without = f" but {said}, which their jobs compute again after a restore" if said else ""
    return HealthCheck("backups", "ok", f"edge-hub backup saves everything{without}")


def _artifacts(settings: Settings) -> HealthCheck:
    stores = open_stores(settings)
    for store in (stores.blobs, stores.targets):
        probe_store(store, f"{PROBE}-{time.time_ns()}")
    return HealthCheck("artifacts", "ok", "can be written, read and deleted")


def _guarded(name: str, ask: Callable[[], HealthCheck], todo: str) -> HealthCheck:
    """Return a check; what it raises on purpose, or the system does, is its reason to fail."""
    try:
        return ask()
    except (HubFault, OSError, ValueError) as error:
        return HealthCheck(name, "fail", f"{error}", todo)
