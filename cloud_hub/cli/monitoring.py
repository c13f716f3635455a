"""``edge-hub monitor``: status, history, acknowledge."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Mapping
from typing import Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import add_command, add_group, client_of


def add_commands(commands: Any) -> None:
    """Add ``monitor`` to the commands of ``edge-hub``."""
    group = add_group(commands, "monitor", "drift, domain, errors, groups: figures and alarms")
    status = add_command(group, "status", "what is alarming, and every signal now", _status)
    status.add_argument("--json", action="store_true", help="everything, for programs")
    history = add_command(group, "history", "figures by window", _history)
    history.add_argument("--signal", help="one signal, for example drift:age")
    history.add_argument(
        "--since", type=words.duration, default="7d", help="how far back, for example 12h or 30d"
    )
    history.add_argument("--json", action="store_true", help="everything, for programs")
    answer = add_command(group, "acknowledge", "answer an alarm", _acknowledge)
    answer.add_argument("signal", help="for example drift:age")
    answer.add_argument(
        "--rebase", action="store_true", help="how it is now becomes what is normal"
    )


def _status(arguments: argparse.Namespace) -> Any:
    found = client_of(arguments).get(f"models/{arguments.model}/monitor")
    return found if arguments.json else told_status(found)


def _history(arguments: argparse.Namespace) -> Any:
    since = time.time() - arguments.since
    path = f"models/{arguments.model}/monitor/history"
    rows = client_of(arguments).get(path, signal=arguments.signal, since=since)
    return rows if arguments.json else told_history(rows)


def _acknowledge(arguments: argparse.Namespace) -> str:
    path = f"models/{arguments.model}/monitor/acknowledge"
    client_of(arguments).post(path, signal=arguments.signal, rebase=arguments.rebase)
    now = " and is what is normal now" if arguments.rebase else ""
    return f"{arguments.model}: {arguments.signal} is acknowledged{now}"


def told_status(found: Mapping[str, Any]) -> str:
    """The state as a person reads it."""
    if found["watched_to"] is None and not found["signals"]:
        return f"version {found['version']}: no window with enough observations yet"
    lines = [f"version {found['version']}, watched to {_utc(found['watched_to'])}"]
    alarms = found["alarms"]
    lines.append(f"{len(alarms)} open alarm{'s' * (len(alarms) != 1)}" if alarms else "no alarms")
    for alarm in alarms:
        lines += [f"  {line}" for line in _told_alarm(alarm)]
    lines.append("signals (newest window):")
    for row in found["signals"]:
        lines.append(f"  {_told(row)}")
        lines += [f"      {_told_group(group)}" for group in row["figures"].get("groups", ())]
    return "\n".join(lines)


def told_history(rows: list[dict[str, Any]]) -> str:
    """Figures as a person reads them."""
    if not rows:
        return "no windows"
    return "\n".join(f"{_utc(row['start'])} {row['version']} {_told(row)}" for row in rows)


def _told(row: Mapping[str, Any]) -> str:
    mark = "!" if row["alarming"] else " "
    figures = row["figures"]
    shown = {k: figures[k] for k in SHOWN[row["kind"]] if figures.get(k) is not None}
    said = " ".join(f"{name}={_short(value)}" for name, value in shown.items())
    return f"{mark} {row['signal']:<32} {said}"


def _told_alarm(alarm: Mapping[str, Any]) -> list[str]:
    """When it was raised and by what figures; below that in which cohorts, and its output."""
    evidence = dict(alarm["evidence"])
    parts = {name: evidence.pop(name, None) for name in ("cohorts", "groups", "output")}
    lines = [f"{alarm['signal']} since {_utc(alarm['raised_at'])}: {_figures(evidence)}"]
    lines += [f"    cohort {_cohort(cohort)}" for cohort in parts["cohorts"] or ()]
    lines += [f"    {_told_group(group)}" for group in parts["groups"] or ()]
    if parts["output"]:
        lines.append(f"    output {_figures(parts['output'])}")
    return lines


def _cohort(cohort: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in cohort.items() if k not in ("attribute", "value")}
    return f"{cohort['attribute']}={cohort['value']}: {_figures(rest)}"


def _figures(figures: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(v)}" for name, v in figures.items() if v is not None)


def _told_group(group: Mapping[str, Any]) -> str:
    if group["rate"] is None:
        return f"{group['group']:<20} {group['n']} rows, too few"
    rates = " ".join(f"{name}={_short(group[name])}" for name in ("n", "rate", "low", "high"))
    return f"{group['group']:<20} {rates}"


SHOWN = {
    "drift": ("n", "ks", "psi", "p", "moved"),
    "domain": ("n", "rate", "rate_at_training", "score", "p"),
    "estimate": ("n", "accuracy", "low", "high", "reference", "note"),
    "concept": ("labelled", "errors", "coverage", "base_rate", "evidence", "alarm_from"),
    "fairness": ("answer", "best", "worst", "most", "least", "low", "high"),
}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_short(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _utc(at: float | None) -> str:
    if at is None:
        return "-"
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
