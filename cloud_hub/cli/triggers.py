"""``edge-hub triggers``: status, log, fire, rearm, hook, dry-run."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import add_command, add_group, client_of
from cloud_hub.cli.policy import read_policy


def add_commands(commands: Any) -> None:
    """Add ``triggers`` to the commands of ``edge-hub``."""
    group = add_group(commands, "triggers", "rules that start runs: evidence, firings, dry runs")
    add_command(group, "status", "every rule with its evidence, and what fired", _status)
    log = add_command(group, "log", "evaluations, with what they were decided on", _log)
    log.add_argument("--trigger", metavar="NAME")
    log.add_argument("--limit", type=words.whole(1, 10_000), default=20)
    for name, run, text in (
        ("fire", _fire, "fire a rule now, whatever its evidence says"),
        ("rearm", _rearm, "let a rule that fired fire again"),
        ("hook", _hook, "a new token with which another system may call a rule"),
    ):
        command = add_command(group, name, text, run)
        command.add_argument("trigger", type=words.name, help="name of the rule")
        if name == "fire":
            command.add_argument("--reason", type=words.reason, default="by hand")
    dry = add_command(group, "dry-run", "when each rule would have fired", _dry_run)
    dry.add_argument(
        "--since", type=words.duration, default="30d", help="how far back, for example 12h or 30d"
    )
    dry.add_argument("--policy", type=Path, help="try this policy instead of the one in force")
    dry.add_argument("--json", action="store_true", help="everything, for programs")


def _status(arguments: argparse.Namespace) -> Any:
    return client_of(arguments).get(f"models/{arguments.model}/triggers")


def _log(arguments: argparse.Namespace) -> Any:
    path = f"models/{arguments.model}/triggers/evaluations"
    return client_of(arguments).get(path, trigger=arguments.trigger, limit=arguments.limit)


def _fire(arguments: argparse.Namespace) -> Any:
    path = f"models/{arguments.model}/triggers/{arguments.trigger}/fire"
    return client_of(arguments).post(path, reason=arguments.reason)


def _rearm(arguments: argparse.Namespace) -> str:
    client_of(arguments).post(f"models/{arguments.model}/triggers/{arguments.trigger}/rearm")
    return f"{arguments.model}: {arguments.trigger} is armed"


def _hook(arguments: argparse.Namespace) -> str:
    path = f"models/{arguments.model}/triggers/{arguments.trigger}"
    client = client_of(arguments)
    token = client.post(f"{path}/hook")["token"]
    return (
        f"{token}\n"
        f"call it: curl -X POST -H 'Authorization: Bearer TOKEN' {client.url}/v1/{path}/call"
    )


def _dry_run(arguments: argparse.Namespace) -> Any:
    raw = read_policy(arguments.policy)[0] if arguments.policy else None
    path = f"models/{arguments.model}/triggers/dry-run"
    found = client_of(arguments).post(path, raw, seconds=arguments.since)
    return found if arguments.json else told(found)


def told(found: Any) -> str:
    """A dry run as a person reads it."""
    lines = [f"from {_utc(found['since'])} to {_utc(found['until'])}, every {found['step']:.0f} s"]
    for rule in found["rules"]:
        count = len(rule["firings"])
        outcomes = ", ".join(f"{name} {n}" for name, n in sorted(rule["outcomes"].items()))
        lines.append(f"{rule['trigger']}: {count or 'no'} firing{'s' * (count != 1)} ({outcomes})")
        for moment in rule["firings"]:
            lines.append(f"  {_utc(moment['at'])} on {moment['version']}: {moment['evidence']}")
    return "\n".join(lines)


def _utc(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
