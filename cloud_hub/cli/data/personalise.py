"""``edge-hub personalise``: devices that adapt to a unit (a user, a session), in private."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.data.personal_evidence import evidence
from cloud_hub.cli.data.personalised_rankings import rankings
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, busy, local_time, plural, warn
from cloud_hub.cli.shared.registration import ROLL_OUT, command, group

PATIENT_SECONDS: Final = 900.0
"""For the rows to be sent, and fitted to."""

SHOWN: Final = 10
"""Generations that ``show`` has; ``--json`` has all."""

Rows = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Labelled rows of many units: CSV, Parquet, or .npz with X and y."
    ),
]
Version = Annotated[
    str | None,
    typer.Option(parser=types.version, metavar="VERSION", help="Default: the one that serves."),
]
Unit = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Column with the unit of each row; default: as the policy says."
    ),
]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="Column of the labels.")]
Anew = Annotated[bool, typer.Option("--anew", help="With a space of its own: units begin anew.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``personalise``."""
    text = "Devices that adapt to a unit (a user, a session): priors, and the switch."
    actions = group(app, "personalise", text, panel=ROLL_OUT)
    fit = "edge-hub personalise fit digits writers.parquet --unit writer"
    command(actions, "fit", example=fit)(_fit)
    command(actions, "show", example="edge-hub personalise show digits")(_show)
    off = "edge-hub personalise off digits --reason 'complaints from Ghent'"
    command(actions, "off", example=off)(_off)
    command(actions, "on", example="edge-hub personalise on digits")(_on)
    evidence_of = "edge-hub personalise evidence digits"
    command(actions, "evidence", example=evidence_of)(evidence)
    command(actions, "rankings", example="edge-hub personalise rankings shop")(rankings)


def _fit(
    hub: HubAddress,
    model: types.Model,
    file: Rows,
    version: Version = None,
    unit: Unit = None,
    label: Label = "y",
    anew: Anew = False,
) -> Result:
    """Fit what units without history begin with; devices get it with the next plan."""
    from cloud_hub.errors import Invalid

    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: cannot be read; {error.strerror}") from error
    client = hub.client(timeout=PATIENT_SECONDS)
    with busy(f"fitting to {file}"):
        record = client.post(
            f"models/{model}/personalise/fit", raw, version=version, unit=unit, label=label,
            source=file.name, anew=anew or None,
        )  # fmt: skip
    if why := _why_on_no_device(client.get(f"models/{model}/personalise"), record):
        warn(f"no device gets it yet: {why}")
    return Result(record, _fit_view)


def _show(hub: HubAddress, model: types.Model) -> Result:
    """Show what the policy and the plan say, and the priors."""
    return Result(hub.client().get(f"models/{model}/personalise"), _status_view)


def _off(hub: HubAddress, model: types.Model, reason: types.NeededReason) -> Result:
    """Serve the release's own answers from the next sync on, whatever the policy says."""
    status = hub.client().post(f"models/{model}/personalise/off", reason=reason)
    return Result(status, lambda s: f"{s['model']}: off from each device's next sync on; {reason}")


def _on(hub: HubAddress, model: types.Model, reason: types.Reason = "by hand") -> Result:
    """Do as the policy says again."""
    status = hub.client().post(f"models/{model}/personalise/on", reason=reason)
    return Result(status, lambda s: f"{s['model']}: {s['mode']}, as its policy says")


def _fit_view(record: dict[str, Any]) -> View:
    figures = record["figures"]
    helps = "helps" if record["helps"] else "is not shown to help: each unit has to show it"
    rows, units = int(figures["rows"]), int(figures["units"])
    return [
        f"{record['model']} {record['version']}: prior {record['generation']} {helps}",
        f"  {record['verdict']}",
        f"  {plural(rows, 'row')} of {plural(units, 'unit')}, by {record['basis']}",
        *(f"  {sentence}" for sentence in record["said"]),
    ]


def _why_on_no_device(status: dict[str, Any], record: dict[str, Any]) -> str:
    """Return why the plan does not hand out a prior, and what to do; empty if it does."""
    model = record["model"]
    if status["mode"] == "off":
        return "the policy says personalise: {mode: off}; apply one with mode: learn, or on"
    if status["switched_off"]:
        return f"it is switched off; edge-hub personalise on {model}"
    if status["named"].get(record["version"]) == record["generation"]:
        return ""
    return f"the plan does not hand it out; edge-hub personalise show {model}"


def _status_view(status: dict[str, Any]) -> View:
    lines = [f"{status['model']}: personalise: {{mode: {status['mode']}}}"]
    if off := status["switched_off"]:
        lines.append(
            f"  switched off {local_time(off['at'])} by {off['actor']}: {off['reason']}; on again: "
            f"edge-hub personalise on {status['model']}"
        )
    lines.append(f"  the plan tells devices to: {'yes' if status['plan'] else 'no'}")
    for version, failed in status["failures"].items():
        lines.append(f"  {version}: no prior from {failed['source']}: {failed['reason']}")
    named = set(status["named"].values())
    lines += [
        f"  prior {each['generation']}: {each['verdict']}"
        for place, each in enumerate(status["generations"])
        if each["generation"] in named or not (named or place)
    ]
    rows = [
        (
            *(each["generation"], each["version"], "yes" if each["helps"] else "no"),
            *(each["basis"], each["source"], local_time(each["made_at"])),
            "yes" if each["generation"] in named else "",
        )
        for each in status["generations"][:SHOWN]
    ]
    empty = f"no prior yet; edge-hub personalise fit {status['model']} FILE --unit COLUMN"
    columns = ("prior", "version", "helps", "by", "from", "made", "on devices")
    return ["\n".join(lines), TextTable(columns, rows, empty=empty)]
