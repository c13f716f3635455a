"""``edge-hub policy``: plan, apply, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.policy_files import with_calendars
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result
from cloud_hub.cli.shared.registration import RETRAIN, command, group

CHANGES: Final = 3
"""Exit status of ``policy plan --exit-code`` when applying would change something."""

ExitCode = Annotated[
    bool, typer.Option("--exit-code", help=f"Exit status {CHANGES} if something would change.")
]
Override = Annotated[
    str | None,
    typer.Option(
        parser=types.reason,
        metavar="REASON",
        help="Apply it although the hub cannot begin its training yet.",
    ),
]
Whole = Annotated[bool, typer.Option("--whole", help="With every default.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``policy``."""
    text = "How a model is kept fresh: one YAML file in your git."
    actions = group(app, "policy", text, panel=RETRAIN)
    plan = "edge-hub policy plan policy.yaml --exit-code"
    command(actions, "plan", example=plan)(_plan)
    command(actions, "apply", example="edge-hub policy apply policy.yaml")(_apply)
    command(actions, "show", example="edge-hub policy show digits --whole")(_show)


def _plan(hub: HubAddress, file: types.YamlFile, exit_code: ExitCode = False) -> Result:
    """Show what a policy would change."""
    text, model = read_policy(file)
    plan = hub.client().post(f"models/{model}/policy/plan", text)
    return Result(plan, _plan_text, CHANGES if plan["changes"] and exit_code else 0)


def _apply(
    hub: HubAddress,
    file: types.YamlFile,
    dry_run: types.DryRun = False,
    override: Override = None,
) -> Result:
    """Show what a policy changes, and put it in force."""
    text, model = read_policy(file)
    client = hub.client()
    # check: the hub tries to import the training function. Applying does that by itself.
    plan = client.post(f"models/{model}/policy/plan", text, check=dry_run)
    if dry_run:
        return Result(plan, lambda p: f"{_plan_text(p)}\ndry run: nothing was changed")
    # The digest is of the policy in force: if somebody else applied one since, this is refused.
    client.put(f"models/{model}/policy", text, expected=plan["digest"], override=override)
    return Result(plan, lambda p: _applied_text(p, file))


def _applied_text(plan: dict[str, Any], file: Path) -> str:
    if not plan["changes"]:
        return f"{plan['model']}: nothing changed; {file} is in force"
    return f"{_plan_text(plan)}\n{plan['model']}: policy applied"


def _show(hub: HubAddress, model: types.Model, whole: Whole = False) -> Result:
    """Show the policy in force."""
    return Result(
        hub.client().get(f"models/{model}/policy"),
        lambda policy: (
            str(policy["whole"]).rstrip()
            if whole
            else str(policy["text"]).rstrip()
            or "# no policy was applied: all defaults (see --whole)"
        ),
    )


def read_policy(file: Path) -> tuple[bytes, str]:
    """Read a policy file, and refuse it here, with its lines, if it is no policy.

    Returns:
        Its bytes, with the calendars that it names, and the model that it is for.

    Raises:
        Invalid: every mistake on a line of its own.
    """
    from cloud_hub.errors import Invalid
    from cloud_hub.policy.schema.parse import parse_policy
    from cloud_hub.text.yaml import text_of

    text = with_calendars(text_of(file.read_bytes(), str(file)), file)
    model = parse_policy(text, str(file)).model
    if model is None:
        raise Invalid(f"{file}:1: model: say which model the policy is for")
    return text.encode(), model


def _plan_text(plan: dict[str, Any]) -> str:
    count = len(plan["changes"])
    summary = f"{count} change{'s' * (count > 1)}" if count else "nothing changes"
    lines = [f"{plan['model']}: {summary}", *(f"  {change['line']}" for change in plan["changes"])]
    if plan["replan"]:
        lines.append("  devices get a new plan")
    return "\n".join([*lines, *(f"warning: {text}" for text in plan["warnings"])])
