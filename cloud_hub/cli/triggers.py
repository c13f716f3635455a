"""``edge-hub triggers``: status, log, fire, rearm, hook, dry-run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.policy import read_policy
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, cell, local_time, plural
from cloud_hub.cli.shared.registration import RETRAIN, command, group

FIRINGS: Final = 10
"""Firings that ``status`` shows; ``--json`` has all."""

OnlyTrigger = Annotated[str | None, typer.Option(metavar="NAME", help="Of one rule only.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Try this policy instead of the one in force."),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``triggers``."""
    text = "Rules that start runs: evidence, firings, dry runs."
    actions = group(app, "triggers", text, panel=RETRAIN)
    command(actions, "status", example="edge-hub triggers status digits")(_status)
    log = "edge-hub triggers log digits --trigger drift --limit 50"
    command(actions, "log", example=log)(_log)
    fire = "edge-hub triggers fire digits drift --reason 'new camera'"
    command(actions, "fire", example=fire)(_fire)
    command(actions, "rearm", example="edge-hub triggers rearm digits drift")(_rearm)
    command(actions, "hook", example="edge-hub triggers hook digits upstream")(_hook)
    dry_run = "edge-hub triggers dry-run digits --since 30d --policy new.yaml"
    command(actions, "dry-run", example=dry_run)(_dry_run)


def _status(hub: HubAddress, model: types.Model) -> Result:
    """Show every rule with its evidence, and what fired."""
    return Result(hub.client().get(f"models/{model}/triggers"), _status_view)


def _status_view(status: dict[str, Any]) -> View:
    rules = [
        (
            rule["trigger"], rule["kind"], rule["outcome"],
            "latched" if rule["latched"] else "armed", local_time(rule["fired_at"]),
            rule["reason"] or cell(rule["evidence"]),
        )
        for rule in status["rules"]
    ]  # fmt: skip
    columns = ("rule", "kind", "now", "latch", "fired", "reason or evidence")
    fired = [
        (local_time(f["at"]), f["trigger"], f["version"], f["actor"], cell(f["evidence"]))
        for f in status["firings"][-FIRINGS:]
    ]
    firings = TextTable(("time", "rule", "version", "by", "evidence"), fired, "firings", "none")
    return [TextTable(columns, rules, empty="no rules in the policy"), firings]


def _log(
    hub: HubAddress,
    model: types.Model,
    trigger: OnlyTrigger = None,
    limit: types.Limit = 20,
) -> Result:
    """Show evaluations of rules, with the evidence of each."""
    path = f"models/{model}/triggers/evaluations"
    return Result(hub.client().get(path, trigger=trigger, limit=limit), _log_table)


def _log_table(rows: list[dict[str, Any]]) -> TextTable:
    columns = ("last time", "rule", "version", "outcome", "times", "reason or evidence")
    return TextTable(
        columns,
        [
            (
                local_time(row["last_at"]), row["trigger"], row["version"], row["outcome"],
                row["times"], row["reason"] or cell(row["evidence"]),
            )
            for row in rows
        ],
        empty="no evaluations yet",
    )  # fmt: skip


def _fire(
    hub: HubAddress, model: types.Model, trigger: types.Trigger, reason: types.Reason = "by hand"
) -> Result:
    """Fire a rule now, whatever its evidence is."""
    firing = hub.client().post(f"models/{model}/triggers/{trigger}/fire", reason=reason)
    return Result(firing, lambda f: f"{model}: {trigger} fired on {f['version']}; {reason}")


def _rearm(hub: HubAddress, model: types.Model, trigger: types.Trigger) -> Result:
    """Let a rule that fired fire again."""
    hub.client().post(f"models/{model}/triggers/{trigger}/rearm")
    armed = {"model": model, "trigger": trigger}
    return Result(armed, lambda _: f"{model}: {trigger} is armed")


def _hook(hub: HubAddress, model: types.Model, trigger: types.Trigger) -> Result:
    """Make a new token with which another system may call a rule; the old one is void."""
    path, client = f"models/{model}/triggers/{trigger}", hub.client()
    # The hub keeps only a hash of it, so this is the one time that anybody sees the token.
    token = client.post(f"{path}/hook")["token"]
    url = f"{client.url}/v1/{path}/call"
    return Result(
        {"token": token, "url": url},
        lambda h: (
            f"{h['token']}\ncall it: curl -X POST -H 'Authorization: Bearer TOKEN' {h['url']}"
        ),
    )


def _dry_run(
    hub: HubAddress,
    model: types.Model,
    since: types.SinceMonth = 30 * types.DAY,
    policy: PolicyFile = None,
) -> Result:
    """Show when each rule would have fired."""
    raw = read_policy(policy)[0] if policy else None
    path = f"models/{model}/triggers/dry-run"
    return Result(hub.client().post(path, raw, seconds=since), _dry_run_text)


def _dry_run_text(replay: dict[str, Any]) -> str:
    begin, end = local_time(replay["since"]), local_time(replay["until"])
    lines = [f"from {begin} to {end}, every {replay['step']:.0f} s"]
    for rule in replay["rules"]:
        count = len(rule["firings"])
        outcomes = ", ".join(f"{name} {n}" for name, n in sorted(rule["outcomes"].items()))
        firings = plural(count, "firing") if count else "no firings"
        lines.append(f"{rule['trigger']}: {firings} ({outcomes})")
        lines += [
            f"  {local_time(moment['at'])} on {moment['version']}: {cell(moment['evidence'])}"
            for moment in rule["firings"]
        ]
    return "\n".join(lines)
