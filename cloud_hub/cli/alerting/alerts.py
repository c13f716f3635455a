"""``edge-hub alerts``: where events and alarms are sent."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from cloud_hub.cli.alerting.events import Kinds, Models
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time
from cloud_hub.cli.shared.registration import WATCH, command, group

Name = Annotated[str, typer.Argument(parser=types.name, metavar="NAME", help="Of the destination.")]
Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="https://… for a webhook; else one of Apprise's: mailtos://…, slack://…",
    ),
]
Severity = Annotated[
    str, typer.Option(metavar="LEVEL", help="Least that is sent: info, warning or critical.")
]
Digest = Annotated[
    float,
    typer.Option(
        parser=types.duration,
        metavar="DURATION",
        help="One message for all of a time; what is critical does not wait.",
    ),
]
Quiet = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WINDOW",
        help="Only what is critical in 'Mon-Fri 22:00-06:00'; may be given again.",
    ),
]
Zone = Annotated[str, typer.Option(metavar="ZONE", help="Time zone of --quiet: Europe/Paris.")]
For = Annotated[
    float,
    typer.Option("--for", parser=types.duration, metavar="DURATION", help="How long; 0s: no more."),
]
Skip = Annotated[
    bool, typer.Option("--skip", help="Leave out what waits, and begin with what is new.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``alerts``."""
    text = "Where events and alarms are sent: webhooks, e-mail, chat."
    actions = group(app, "alerts", text, panel=WATCH)
    command(actions, "list", example="edge-hub alerts list --json")(_list)
    add = "edge-hub alerts add ops https://ops.example/hook --severity warning"
    command(actions, "add", example=add)(_add)
    rules = "edge-hub alerts rules ops --kind rollout --kind alarm"
    command(actions, "rules", example=rules)(_rules)
    command(actions, "test", example="edge-hub alerts test ops")(_test)
    command(actions, "log", example="edge-hub alerts log ops --limit 20")(_log)
    silence = "edge-hub alerts silence ops --for 2h --reason maintenance"
    command(actions, "silence", example=silence)(_silence)
    command(actions, "resume", example="edge-hub alerts resume ops --skip")(_resume)
    command(actions, "rotate", example="edge-hub alerts rotate ops")(_rotate)
    command(actions, "remove", example="edge-hub alerts remove ops")(_remove)


def _list(hub: HubAddress) -> Result:
    """Show destinations, what they want and how far they are."""
    return Result(hub.client().get("alerts/destinations"), _list_table)


def _add(
    hub: HubAddress,
    name: Name,
    url: Url,
    kind: Kinds = None,
    model: Models = None,
    severity: Severity = "warning",
    digest: Digest = 0.0,
    quiet: Quiet = None,
    zone: Zone = "UTC",
) -> Result:
    """Add a destination; the secret that signs its webhooks is shown only now."""
    kind_of = "webhook" if url.startswith(("http://", "https://")) else "apprise"
    wanted = _wanted(kind, model, severity, digest, quiet, zone)
    body = json.dumps({**wanted, "kind": kind_of, "url": url}).encode()
    made = _send(hub, "POST", f"alerts/destinations/{name}", body).json()
    return Result(made, _added_text)


def _rules(
    hub: HubAddress,
    name: Name,
    kind: Kinds = None,
    model: Models = None,
    severity: Severity = "warning",
    digest: Digest = 0.0,
    quiet: Quiet = None,
    zone: Zone = "UTC",
) -> Result:
    """Replace what a destination wants, all of it."""
    wanted = _wanted(kind, model, severity, digest, quiet, zone)
    _send(hub, "PUT", f"alerts/destinations/{name}/rules", json.dumps(wanted).encode())
    return Result(wanted, lambda _: f"{name}: has new rules")


def _test(hub: HubAddress, name: Name) -> Result:
    """Send a made-up event now; exit status 1 if it does not arrive."""
    outcome = hub.client().post(f"alerts/destinations/{name}/test")
    arrived = outcome["delivered"]
    text = f"{name}: {'it arrived' if arrived else 'it did not arrive'}; {outcome['reason']}"
    return Result(outcome, lambda _: text, status=0 if arrived else 1)


def _log(hub: HubAddress, name: Name, limit: types.Limit = None) -> Result:
    """Show what was tried, oldest first."""
    return Result(
        hub.client().get(f"alerts/destinations/{name}/deliveries", limit=limit), _log_table
    )


def _silence(hub: HubAddress, name: Name, reason: types.NeededReason, for_: For) -> Result:
    """Send nothing for a while; what happens meanwhile is sent afterwards."""
    hub.client().post(f"alerts/destinations/{name}/silence", seconds=for_, reason=reason)
    done = {"name": name, "seconds": for_, "reason": reason}
    return Result(done, lambda _: f"{name}: is silent" if for_ else f"{name}: is silent no more")


def _resume(hub: HubAddress, name: Name, skip: Skip = False) -> Result:
    """Try a destination again that fails, was switched off or is silent."""
    hub.client().post(f"alerts/destinations/{name}/resume", skip=skip)
    return Result({"name": name, "skip": skip}, lambda _: f"{name}: is tried again")


def _rotate(hub: HubAddress, name: Name) -> Result:
    """Make a new secret; the one before signs for another day."""
    return Result(hub.client().post(f"alerts/destinations/{name}/secret"), _added_text)


def _remove(hub: HubAddress, name: Name) -> Result:
    """Remove a destination and its log."""
    _send(hub, "DELETE", f"alerts/destinations/{name}")
    return Result({"name": name}, lambda _: f"{name}: is removed")


def _send(hub: HubAddress, method: str, path: str, body: bytes | None = None) -> Any:
    return hub.client().response(method, path, body)


def _wanted(
    kind: list[str] | None, model: list[str] | None, severity: str, digest: float,
    quiet: list[str] | None, zone: str,
) -> dict[str, Any]:  # fmt: skip
    return {
        "kinds": kind or [], "models": model or [], "severity": severity,
        "digest_seconds": digest, "quiet": quiet or [], "zone": zone,
    }  # fmt: skip


def _added_text(made: dict[str, Any]) -> str:
    if made["secret"] is None:
        return f"{made['name']}: is told what happens from now on"
    return f"{made['name']}: signs with {made['secret']}\n  it is shown only now"


def _list_table(rows: list[dict[str, Any]]) -> TextTable:
    columns = ("name", "to", "state", "waiting", "rules")
    return TextTable(
        columns,
        [(r["name"], r["url"], _state(r["progress"]), r["waiting"], _said(r["rules"]))
         for r in rows],
        empty="no destinations; edge-hub alerts add",
    )  # fmt: skip


def _state(progress: dict[str, Any]) -> str:
    if progress["disabled"] is not None:
        return f"off: {progress['disabled']}"
    if progress["failing_since"] is not None:
        return f"fails since {local_time(progress['failing_since'])}"
    return "on"


def _said(rules: dict[str, Any]) -> dict[str, Any]:
    plain = {"digest_seconds": 0, "kinds": [], "models": [], "quiet": []}
    named = {k: v for k, v in rules.items() if k not in plain or v != plain[k]}
    return named if rules["quiet"] else {k: v for k, v in named.items() if k != "zone"}


def _log_table(rows: list[dict[str, Any]]) -> TextTable:
    columns = ("time", "event", "events", "try", "seconds", "delivered", "answer")
    return TextTable(
        columns,
        [(local_time(r["at"]), str(r["event"]), r["events"], r["attempt"], r["seconds"],
          r["delivered"], r["reason"]) for r in rows],
        empty="nothing was sent yet",
    )  # fmt: skip
