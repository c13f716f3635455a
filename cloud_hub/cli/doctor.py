"""``edge-hub doctor``: what is wrong with a hub, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import typer

from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View
from cloud_hub.cli.shared.registration import ADMINISTER, command
from cloud_hub.cli.shared.storage_options import Artifacts, Database

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_hub.observability.checks import HealthCheck

TIMEOUT: Final = 15.0
"""Seconds for an answer of the hub."""


def add_commands(app: typer.Typer) -> None:
    """Add ``doctor``."""
    example = "edge-hub doctor --data hub-data"
    command(app, "doctor", panel=ADMINISTER, example=example)(_doctor)


def _doctor(hub: HubAddress, database: Database = None, artifacts: Artifacts = None) -> Result:
    """Examine a hub from inside (--data) and outside; exit status 1 unless all is well."""
    checks: list[HealthCheck] = []
    if hub.data is not None:
        checks += _inside(hub.data, database, artifacts)
    # The folder of no hub was never served either: one reason is enough.
    if hub.data is None or checks[0].state == "ok":
        checks += _outside(hub)
    plain = [asdict(check) for check in checks]
    return Result(plain, _view, status=int(any(check.state != "ok" for check in checks)))


def _inside(data: Path, database: str | None, artifacts: str | None) -> Iterator[HealthCheck]:
    from cloud_hub.hub import open_keys
    from cloud_hub.observability.doctor import examine_data
    from cloud_hub.settings import Settings

    settings = Settings(data, database, artifacts=artifacts)
    return examine_data(settings, lambda: open_keys(data, database, artifacts))


def _outside(hub: HubAddress) -> Iterator[HealthCheck]:
    from cloud_hub.errors import HubFault
    from cloud_hub.observability.doctor import examine_answers, silent

    # With --data too, --hub is the way on which devices reach it.
    address = hub if hub.data is None or hub.url is None else replace(hub, data=None)
    if address.token is None and hub.data is not None and address.data is None:
        address = replace(address, token=(hub.data / "admin.token").read_text().strip())
    try:
        client = address.client(timeout=TIMEOUT)
        health, date = client.health()
    except HubFault as error:
        yield silent(str(error), is_ours=hub.data is not None)
        return
    yield from examine_answers(health, date, now=time.time())


def _view(checks: list[dict[str, Any]]) -> View:
    rows = [(c["state"], c["name"], c["says"]) for c in checks]
    table = TextTable(("", "check", "what was found"), rows)
    todo = [f"{c['name']}: {c['todo']}" for c in checks if c["state"] != "ok" and c["todo"]]
    return [table, *(["to do:", *(f"  {line}" for line in todo)] if todo else ["all is well"])]
