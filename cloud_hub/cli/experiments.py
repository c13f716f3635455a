"""``edge-hub experiments``: plan, start, watch and end experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cloud_hub.cli.experiment_text import (
    experiment_line,
    experiments_table,
    plan_text,
    report_view,
    status_text,
)
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.approval_text import unless_it_waits
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result
from cloud_hub.cli.shared.registration import ROLL_OUT, command, group

Power = Annotated[
    float, typer.Option(metavar="SHARE", help="Chance to find a difference that is there.")
]
Arm = Annotated[str | None, typer.Option(metavar="ARM", help="Which arm, of several.")]
NeededArm = Annotated[str, typer.Option("--arm", metavar="ARM", help="Which arm.")]
Tried = Annotated[
    bool,
    typer.Option("--with/--without", help="The arm that is tried: the control is the other one."),
]
By = Annotated[Literal["device", "key"], typer.Option(help="Units that are on an arm each.")]
Weight = Annotated[float, typer.Option(metavar="SHARE", help="Share of the units on the arm.")]
Effect = Annotated[
    float, typer.Option(metavar="SHARE", help="Smallest change of what is right that matters.")
]
HtmlFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report as a page to this file.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``experiments``."""
    text = "Candidates on live devices: shadow, A/B, canary, interleaving."
    actions = group(app, "experiments", text, panel=ROLL_OUT)
    name = "edge-hub experiments"
    command(actions, "plan", example=f"{name} plan experiment.yaml --power 0.9")(_plan)
    command(actions, "start", example=f"{name} start experiment.yaml")(_start)
    compare = f"{name} personalise digits --without --by device"
    command(actions, "personalise", example=compare)(_personalise)
    command(actions, "list", example=f"{name} list digits")(_list)
    command(actions, "status", example=f"{name} status digits-canary-1")(_status)
    command(actions, "pause", example=f"{name} pause digits-canary-1 --reason 'a look'")(_pause)
    command(actions, "resume", example=f"{name} resume digits-canary-1")(_resume)
    command(actions, "drop", example=f"{name} drop shop-ab-1 --arm large")(_drop)
    command(actions, "stop", example=f"{name} stop digits-canary-1 --reason 'enough'")(_stop)
    command(actions, "promote", example=f"{name} promote digits-canary-1")(_promote)
    report = f"{name} report digits-canary-1 --html report.html"
    command(actions, "report", example=report)(_report)


def _plan(hub: HubAddress, file: types.YamlFile, power: Power = 0.8) -> Result:
    """Show how much an experiment needs and how long it takes; start nothing."""
    return Result(hub.client().experiments.plan(file, power=power), plan_text)


def _start(hub: HubAddress, file: types.YamlFile) -> Result:
    """Start the experiment that a file declares."""
    return Result(hub.client().experiments.start(file), experiment_line)


def _personalise(
    hub: HubAddress, model: types.Model, with_: Tried = False, by: By = "device",
    weight: Weight = 0.5, effect: Effect = 0.01,
) -> Result:  # fmt: skip
    """Compare what is served with personalisation and without; one arm has it, the other not."""
    tried = "with" if with_ else "without"
    client = hub.client()
    version = client.get(f"models/{model}/plan")["serving"]["version"]
    text = f"""model: {model}
strategy: ab
unit: {by}
arms: [{{name: {tried}, version: "{version}", weight: {weight:g}, personalise: {tried}}}]
outcomes: [{{name: served, metric: served_accuracy, minimum_effect: {effect:g}}}]
"""
    return Result(client.experiments.start(text), experiment_line)


def _list(hub: HubAddress, model: types.Model) -> Result:
    """List every experiment of a model."""
    return Result(hub.client().experiments.of_model(model), experiments_table)


def _status(hub: HubAddress, id_: types.ExperimentId) -> Result:
    """Show the state of an experiment: outcomes, guardrails, devices."""
    return Result(hub.client().experiments.status(id_), status_text)


def _pause(hub: HubAddress, id_: types.ExperimentId, reason: types.Reason = "by hand") -> Result:
    """Let nobody enter; devices that are in stay in."""
    return Result(hub.client().experiments.pause(id_, reason), experiment_line)


def _resume(hub: HubAddress, id_: types.ExperimentId, reason: types.Reason = "by hand") -> Result:
    """Go on; earlier failures are acknowledged."""
    return Result(hub.client().experiments.resume(id_, reason), experiment_line)


def _drop(
    hub: HubAddress, id_: types.ExperimentId, arm: NeededArm, reason: types.Reason = "by hand"
) -> Result:
    """Take an arm of an A/B/n test back; the others go on."""
    return Result(hub.client().experiments.drop(id_, arm, reason), experiment_line)


def _stop(hub: HubAddress, id_: types.ExperimentId, reason: types.Reason = "by hand") -> Result:
    """End it; everybody gets what serves."""
    return Result(hub.client().experiments.stop(id_, reason), experiment_line)


def _promote(
    hub: HubAddress,
    id_: types.ExperimentId,
    arm: Arm = None,
    reason: types.Reason = "by hand",
) -> Result:
    """Let the winner, or an arm, serve everybody."""
    return Result(
        hub.client().experiments.promote(id_, reason, arm), unless_it_waits(experiment_line)
    )


def _report(hub: HubAddress, id_: types.ExperimentId, html: HtmlFile = None) -> Result:
    """Show everything that was seen and decided, over time."""
    client = hub.client().experiments
    if html is None:
        return Result(client.report(id_), report_view)
    html.write_text(client.page(id_), encoding="utf-8")
    return Result({"wrote": str(html)}, lambda done: f"wrote {done['wrote']}")
