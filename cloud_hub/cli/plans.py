"""``edge-hub plan``, ``promote``, ``rollback`` and ``canary``: which version serves whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.approval_text import unless_it_waits
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, cell
from cloud_hub.cli.shared.registration import ROLL_OUT, command

if TYPE_CHECKING:
    from cloud_hub.client.admin import AdminClient

Override = Annotated[
    str | None,
    typer.Option(
        parser=types.reason,
        metavar="REASON",
        help="Although its last experiment took it back.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``plan``, ``promote``, ``rollback`` and ``canary``."""
    command(app, "plan", panel=ROLL_OUT, example="edge-hub plan digits")(_plan)
    promote = "edge-hub promote digits 1.1 --reason 'held out well' --dry-run"
    command(app, "promote", panel=ROLL_OUT, example=promote)(_promote)
    rollback = "edge-hub rollback digits --reason 'crashes on old phones'"
    command(app, "rollback", panel=ROLL_OUT, example=rollback)(_rollback)
    command(app, "canary", panel=ROLL_OUT, example="edge-hub canary digits 1.1")(_canary)


def _plan(hub: HubAddress, model: types.Model) -> Result:
    """Show the plan in force: what serves, and the experiment that runs."""
    return Result(hub.client().get(f"models/{model}/plan"), _plan_text)


def _promote(
    hub: HubAddress,
    model: types.Model,
    version: types.ModelVersion,
    reason: types.Reason = "by hand",
    override: Override = None,
    dry_run: types.DryRun = False,
) -> Result:
    """Let a version serve everybody; a running experiment ends."""
    query = {"version": version, "reason": reason, "override": override}
    return _change(hub.client(), f"models/{model}/promote", query, dry_run=dry_run)


def _rollback(
    hub: HubAddress,
    model: types.Model,
    reason: types.Reason = "by hand",
    dry_run: types.DryRun = False,
) -> Result:
    """End the running experiment, or go back to the version that served before."""
    return _change(hub.client(), f"models/{model}/rollback", {"reason": reason}, dry_run=dry_run)


def _change(
    client: AdminClient, path: str, query: dict[str, str | None], *, dry_run: bool
) -> Result:
    """Ask for the next plan of a model, or only what it would be.

    Raises:
        HubFault: the hub is older than dry runs, and made the change.
    """
    from cloud_hub.errors import HubFault

    answer = client.post(path, None, **query, dry_run=True if dry_run else None)
    if not dry_run:
        return Result(answer, unless_it_waits(_plan_text))
    # A hub from before dry runs ignores the parameter. Silence here would be the worst answer.
    if not answer.get("dry_run"):
        raise HubFault(
            "this hub knows no dry run, so it made the change: "
            f"{_plan_text(answer)}; edge-hub rollback {answer['model']} takes it back"
        )
    return Result(answer, _preview_text)


def _preview_text(preview: dict[str, Any]) -> str:
    """The change that a promotion or a rollback would make."""
    head = f"{preview['model']}: dry run, nothing was changed; "
    if not preview["changes"]:
        return f"{head}{preview['serves_next']} serves already"
    before = f" instead of {preview['serving']}" if preview["serving"] else ""
    same = preview["serves_next"] == preview["serving"]
    serves = f"{preview['serves_next']} would {'go on serving' if same else 'serve' + before}"
    ends = f", and {preview['ends']} would end" if preview["ends"] else ""
    return head + serves + ends


def _plan_text(plan: dict[str, Any]) -> str:
    called = "".join(f" @{alias}" for alias in plan.get("serving_aliases", ()))
    serves = f"{plan['serving']['version']}{called} serves"
    lines = [f"{plan['model']}: {serves}; plan {plan['serial']}"]
    experiment = plan.get("experiment")
    if experiment is None:
        return lines[0]
    arms = [f"{arm['name']} {arm['release']['version']}" for arm in experiment["arms"]]
    paused = ", paused" if experiment.get("paused") else ""
    lines.append(f"  {experiment['id']}{paused}: {experiment['strategy']} of {cell(arms)}")
    return "\n".join(lines)


def _canary(hub: HubAddress, model: types.Model, version: types.ModelVersion) -> Result:
    """Try a version on a share of the fleet, in the steps of the model's policy."""
    record = hub.client().post(f"models/{model}/canary", version=version)
    return Result(
        record,
        lambda r: (
            f"{r['id']}: {r['status']}; canary of {r['candidate']} against {r['control']}; "
            f"watch it with edge-hub experiments status {r['id']}"
        ),
    )
