"""``edge-hub experiments``: plan, start, watch and end experiments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import add_command, add_group, client_of
from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.client.experiments import ExperimentsClient


def add_commands(commands: Any) -> None:
    """Add ``experiments`` to the commands of ``edge-hub``."""
    group = add_group(commands, "experiments", "candidates on live devices: shadow, A/B, canary …")
    plan = add_command(group, "plan", "how much it needs and how long it takes", _plan, model=False)
    plan.add_argument("file", type=Path, help="experiment.yaml")
    plan.add_argument("--power", type=float, default=0.8, help="chance of finding what is there")
    start = add_command(group, "start", "start what a file declares", _start, model=False)
    start.add_argument("file", type=Path, help="experiment.yaml")
    add_command(group, "list", "every experiment of a model", _list)
    status = add_command(group, "status", "how an experiment stands", _status, model=False)
    status.add_argument("id", type=words.name)
    status.add_argument("--json", action="store_true", help="everything that is known")
    for name, text in (
        ("pause", "nobody enters; who is in stays in"),
        ("resume", "go on; earlier failures are acknowledged"),
        ("drop", "take an arm of an A/B/n test back; the others go on"),
        ("stop", "end it; everybody gets what serves"),
        ("promote", "let the winner, or an arm, serve everybody"),
    ):
        command = add_command(group, name, text, _act, model=False)
        command.add_argument("id", type=words.name)
        command.add_argument("--reason", type=words.reason, default="by hand")
        if name in ("drop", "promote"):
            command.add_argument("--arm", required=name == "drop", help="of several, which")
        command.set_defaults(act=name)
    report = add_command(group, "report", "everything, over time", _report, model=False)
    report.add_argument("id", type=words.name)
    report.add_argument("--html", type=Path, metavar="FILE", help="a page instead of JSON")


def _client(arguments: argparse.Namespace) -> ExperimentsClient:
    return client_of(arguments).experiments


def _plan(arguments: argparse.Namespace) -> str:
    found = _client(arguments).plan(arguments.file, power=arguments.power)
    return "\n".join(
        [found["summary"], *(line for row in found["outcomes"] for line in _told(row))]
    )


def _told(row: Any) -> list[str]:
    head = f"{row['outcome']} ({row['metric']})"
    lines = [f"  {head}: {_lately(row)}"] if row["needs"] else []
    for need, days in zip(row["needs"], row["days"], strict=True):
        lines.append(f"    {need['method']}: {need['independent']:,} {_until(row, days)}")
    if row["note"]:
        lines.append(f"    {row['note']}" if lines else f"  {head}: {row['note']}")
    return lines


def _lately(row: Any) -> str:
    if row["metric"] == "wins":
        return f"lately {row['a_device_a_day']:,.1f} clicked rankings a device and day would decide"
    return (
        f"lately {row['mean']:.4g} on average, {row['a_device_a_day']:,.0f} a device and day, "
        f"correlated {row['correlation']:.3f} within a device"
    )


def _until(row: Any, days: float | None) -> str:
    what = "decided sessions" if row["metric"] == "wins" else "independent outcomes an arm"
    if days is None:
        unknown = row["note"] and row["metric"] == "wins"
        return what if unknown else f"{what}: never with these devices"
    return f"{what}: about {format_duration(days * 86_400)}"


def _start(arguments: argparse.Namespace) -> str:
    return _line(_client(arguments).start(arguments.file))


def _list(arguments: argparse.Namespace) -> Any:
    return _client(arguments).of_model(arguments.model)


def _status(arguments: argparse.Namespace) -> Any:
    found = _client(arguments).status(arguments.id)
    if arguments.json:
        return found
    lines = [_line(found)]
    for row in found["figures"].get("outcomes", []):
        low, high = (
            f"{end + 0.0:+.4g}" if end is not None else "?" for end in (row["low"], row["high"])
        )
        gain = f"{row['gain'] + 0.0:+.4g}"
        lines.append(f"  {row['outcome']} of {row['arm']}: {gain} in [{low}, {high}]")
    for arm, row in found["figures"].get("devices", {}).items():
        shown = ", ".join(f"{row[name]} {name}" for name in row if name != "exposed")
        lines.append(f"  {arm}: {shown}; {row['exposed']} with exposure")
    for arm, row in found["state"].get("dropped", {}).items():
        lines.append(f"  {arm}: dropped by {row['actor']}; {row['reason']}")
    return "\n".join(lines)


def _act(arguments: argparse.Namespace) -> str:
    more = {"arm": arguments.arm} if "arm" in arguments else {}
    act = getattr(_client(arguments), arguments.act)
    return _line(act(arguments.id, reason=arguments.reason, **more))


def _report(arguments: argparse.Namespace) -> Any:
    client = _client(arguments)
    if arguments.html is None:
        return client.report(arguments.id)
    arguments.html.write_text(client.page(arguments.id), encoding="utf-8")
    return f"wrote {arguments.html}"


def _line(found: Any) -> str:
    arms = (arm["version"] for arm in found["spec"]["arms"])
    tried = " and ".join(arms) or found["candidate"]
    return (
        f"{found['id']}: {found['status']}; {found['strategy']} of {tried} against "
        f"{found['control']}, {found['now']}; {found['reason']}"
    )
