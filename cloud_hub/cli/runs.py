"""``edge-hub runs``: list, start, logs, cancel, override."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import add_command, add_group, client_of, getting


def add_commands(commands: Any) -> None:
    """Add ``runs`` to the commands of ``edge-hub``."""
    group = add_group(commands, "runs", "retraining runs: queue, logs, override of the gate")
    add_command(group, "list", "every run, its causes and its gate", getting("models/{model}/runs"))
    start = add_command(group, "start", "ask for one now", _start)
    start.add_argument("--mode", choices=("stateful", "stateless"), help="default: as the policy")
    start.add_argument("--reason", type=words.reason, default="by hand")
    logs = add_command(group, "logs", "what its training printed", _logs, model=False)
    logs.add_argument("number", type=words.whole(1), help="of the run")
    logs.add_argument("--tail", type=words.whole(1), metavar="LINES", help="the last ones only")
    for name, text in (
        ("cancel", "end a run that waits or trains"),
        ("override", "publish a candidate that the offline gate refused"),
    ):
        command = add_command(group, name, text, _change, model=False)
        command.add_argument("number", type=words.whole(1), help="of the run")
        command.add_argument(
            "--reason", type=words.reason, required=True, help="stays on its record"
        )
        command.set_defaults(action=name)


def _start(arguments: argparse.Namespace) -> Any:
    path = f"models/{arguments.model}/runs"
    return client_of(arguments).post(path, mode=arguments.mode, reason=arguments.reason)


def _logs(arguments: argparse.Namespace) -> str:
    lines = str(client_of(arguments).get(f"runs/{arguments.number}/log")["log"]).splitlines()
    if not lines:
        print(f"edge-hub: run {arguments.number} has printed nothing", file=sys.stderr)
    return "\n".join(lines[-arguments.tail :] if arguments.tail else lines)


def _change(arguments: argparse.Namespace) -> Any:
    path = f"runs/{arguments.number}/{arguments.action}"
    return client_of(arguments).post(path, reason=arguments.reason)
