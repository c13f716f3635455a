"""``edge-hub monitor``: status, history, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, local_time, pairs, plural
from cloud_hub.cli.shared.registration import WATCH, command, group
from cloud_hub.cli.shared.stored_features import stored_features_lines

SHOWN: Final = {
    "drift": ("n", "ks", "psi", "p", "moved", "note"),
    "domain": ("n", "rate", "rate_at_training", "score", "p"),
    "devices": ("who", "p", "against"),
    "estimate": ("n", "accuracy", "low", "high", "reference", "note"),
    "concept": (
        "labelled",
        "errors",
        "coverage",
        "base_rate",
        "measured",
        "mae",
        "base_mae",
        "evidence",
        "alarm_from",
    ),
    "fairness": ("answer", "best", "worst", "most", "least", "low", "high"),
}
"""Figures of each kind of signal that people see; ``--json`` has all."""

SignalName = Annotated[
    str, typer.Argument(metavar="SIGNAL", help="Signal of the alarm, for example drift:age.")
]
OnlySignal = Annotated[
    str | None, typer.Option(metavar="SIGNAL", help="One signal, for example drift:age.")
]
Rebase = Annotated[
    bool, typer.Option("--rebase", help="The present distribution becomes what is normal.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``monitor``."""
    text = "Drift, domain, errors and groups: figures and alarms."
    actions = group(app, "monitor", text, panel=WATCH)
    command(actions, "status", example="edge-hub monitor status digits")(_status)
    history = "edge-hub monitor history digits --signal drift:age --since 30d"
    command(actions, "history", example=history)(_history)
    acknowledge = "edge-hub monitor acknowledge digits drift:age --rebase"
    command(actions, "acknowledge", example=acknowledge)(_acknowledge)


def _status(hub: HubAddress, model: types.Model) -> Result:
    """Show open alarms, and every signal in its newest window."""
    return Result(hub.client().get(f"models/{model}/monitor"), status_text)


def _history(
    hub: HubAddress,
    model: types.Model,
    signal: OnlySignal = None,
    since: types.SinceWeek = 7 * types.DAY,
) -> Result:
    """Show the figures of signals by window."""
    begin = time.time() - since
    path = f"models/{model}/monitor/history"
    return Result(hub.client().get(path, signal=signal, since=begin), history_text)


def _acknowledge(
    hub: HubAddress, model: types.Model, signal: SignalName, rebase: Rebase = False
) -> Result:
    """Answer an alarm; it may be raised again."""
    hub.client().post(f"models/{model}/monitor/acknowledge", signal=signal, rebase=rebase)
    normal = " and is what is normal now" if rebase else ""
    answered = {"model": model, "signal": signal, "rebase": rebase}
    return Result(answered, lambda _: f"{model}: {signal} is acknowledged{normal}")


def status_text(status: Mapping[str, Any]) -> str:
    """The state of monitoring for people: alarms with their evidence, then every signal."""
    stored = stored_features_lines(status["stored_features"])
    if status["watched_to"] is None and not status["signals"]:
        nothing = f"version {status['version']}: no window with enough observations yet"
        return "\n".join([nothing, *stored])
    lines = [f"version {status['version']}, watched to {local_time(status['watched_to'])}"]
    lines += stored
    alarms = status["alarms"]
    lines.append(plural(len(alarms), "open alarm") if alarms else "no alarms")
    for alarm in alarms:
        lines += [f"  {line}" for line in _alarm_lines(alarm)]
    lines.append("signals (newest window):")
    for row in status["signals"]:
        lines.append(f"  {_signal_line(row)}")
        lines += [f"      {_group_line(group)}" for group in row["figures"].get("groups", ())]
    return "\n".join(lines)


def history_text(rows: list[dict[str, Any]]) -> str:
    """Figures by window for people, a line each."""
    if not rows:
        return "no windows"
    return "\n".join(
        f"{local_time(row['start'])} {row['version']} {_signal_line(row)}" for row in rows
    )


def _signal_line(row: Mapping[str, Any]) -> str:
    mark = "!" if row["alarming"] else " "
    figures = {name: row["figures"].get(name) for name in SHOWN[row["kind"]]}
    figures["expected"] = row.get("expected")
    return f"{mark} {row['signal']:<32} {pairs(figures)}"


def _alarm_lines(alarm: Mapping[str, Any]) -> list[str]:
    """Start and evidence of an alarm; below that its cohorts, groups and effect on the output."""
    evidence = dict(alarm["evidence"])
    parts = {name: evidence.pop(name, None) for name in ("devices", "cohorts", "groups", "output")}
    lines = [f"{alarm['signal']} since {local_time(alarm['raised_at'])}: {pairs(evidence)}"]
    if alarm.get("expected"):
        lines.append(f"    expected: {alarm['expected']}")
    lines += [f"    device {_device(device)}" for device in parts["devices"] or ()]
    lines += [f"    cohort {_cohort(cohort)}" for cohort in parts["cohorts"] or ()]
    lines += [f"    {_group_line(group)}" for group in parts["groups"] or ()]
    if parts["output"]:
        lines.append(f"    output {pairs(parts['output'])}")
    return lines


def _cohort(cohort: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in cohort.items() if k not in ("attribute", "value")}
    return f"{cohort['attribute']}={cohort['value']}: {pairs(rest)}"


def _device(device: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in device.items() if k != "device"}
    return f"{device['device']}: {pairs(rest)}"


def _group_line(group: Mapping[str, Any]) -> str:
    if group["rate"] is None:
        return f"{group['group']:<20} {group['n']} rows, too few"
    figures = {name: group[name] for name in ("n", "rate", "low", "high")}
    return f"{group['group']:<20} {pairs(figures)}"
