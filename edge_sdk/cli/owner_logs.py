"""``edge logs``: what the process that runs a device has logged."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.cli.help import CommandGroups
from edge_sdk.cli.logs import without_secrets

if TYPE_CHECKING:
    from edge_sdk.system.logs import LogEntry

POLL_SECONDS: Final = 0.5


def add_logs_command(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    """Add ``logs``."""
    text = "show what the process that runs a device logged: its newest thousand records"
    examples = ["edge logs state/", "edge logs state/ --follow --json"]
    logs = commands.add("logs", text, examples, parent=json_output)
    logs.add_argument("state", type=Path, help="the device's state folder")
    logs.add_argument("--follow", "-f", action="store_true", help="go on with those that come")
    logs.set_defaults(run=_logs)


def _logs(arguments: argparse.Namespace) -> int:
    for entry in records(arguments.state, follow=arguments.follow):
        print(_line(entry, as_json=arguments.json), flush=True)
    return 0


def records(
    state: Path, *, follow: bool, pause: Callable[[float], None] = time.sleep
) -> Iterator[LogEntry]:
    """Yield the records that the process which runs a device keeps, oldest first.

    Args:
        state: folder of the device.
        follow: go on with those that come, also of a process that takes its place meanwhile.
        pause: waits so many seconds between two looks.

    Raises:
        StateError: no process runs the device, or none any more.
    """
    from edge_sdk.device import EdgeDevice
    from edge_sdk.system.owner_file import read_owner

    owner, after = read_owner(state), 0
    with EdgeDevice.attach(state) as device:
        while True:
            for entry in device.logs(after):
                yield entry
                after = entry.number
            if not follow:
                return
            pause(POLL_SECONDS)
            if (runs_now := read_owner(state)) != owner:
                owner, after = runs_now, 0  # each process numbers its records from one on


def _line(entry: LogEntry, *, as_json: bool) -> str:
    """Return the record as ``edge run --log-format`` writes it."""
    at = datetime.fromtimestamp(entry.at).astimezone()
    message = without_secrets(entry.message)
    if not as_json:
        return f"{at.isoformat(timespec='seconds')} {entry.level} {entry.logger}: {message}"
    fields = {
        "time": at.isoformat(timespec="milliseconds"),
        "level": entry.level,
        "logger": entry.logger,
        "message": message,
    }
    return json.dumps(fields)
