"""``edge-hub policy``: plan, apply, show."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import Answer, add_command, add_group, client_of

CHANGES = 3
"""Exit status of ``policy plan --exit-code`` when applying would change something."""


def add_commands(commands: Any) -> None:
    """Add ``policy`` to the commands of ``edge-hub``."""
    group = add_group(commands, "policy", "how a model is kept fresh: one YAML file in your git")
    plan = add_command(group, "plan", "what a policy would change", _plan, model=False)
    plan.add_argument("file", type=Path, help="YAML")
    plan.add_argument(
        "--exit-code", action="store_true", help=f"status {CHANGES} if something would change"
    )
    apply = add_command(group, "apply", "show the changes and make them", _apply, model=False)
    apply.add_argument("file", type=Path, help="YAML")
    apply.add_argument("--dry-run", action="store_true", help="show them only")
    apply.add_argument(
        "--override",
        type=words.reason,
        metavar="REASON",
        help="although the hub cannot begin its training yet",
    )
    show = add_command(group, "show", "the policy in force", _show)
    show.add_argument("--whole", action="store_true", help="with every default")


def _plan(arguments: argparse.Namespace) -> Answer:
    text, model = read_policy(arguments.file)
    plan = client_of(arguments).post(f"models/{model}/policy/plan", text)
    status = CHANGES if plan["changes"] and arguments.exit_code else 0
    return Answer(_told(plan), status)


def _apply(arguments: argparse.Namespace) -> Answer:
    text, model = read_policy(arguments.file)
    client = client_of(arguments)
    dry = arguments.dry_run
    plan = client.post(f"models/{model}/policy/plan", text, check=dry)
    if dry:
        return Answer(f"{_told(plan)}\ndry run: nothing was changed", 0)
    if plan["changes"]:
        print(_told(plan), flush=True)
    client.put(f"models/{model}/policy", text, expected=plan["digest"], override=arguments.override)
    said = "policy applied" if plan["changes"] else f"nothing changed; {arguments.file} is in force"
    return Answer(f"{model}: {said}", 0)


def _show(arguments: argparse.Namespace) -> str:
    found = client_of(arguments).get(f"models/{arguments.model}/policy")
    if arguments.whole:
        return str(found["whole"]).rstrip()
    return str(found["text"]).rstrip() or "# no policy was applied: all defaults (see --whole)"


def read_policy(file: Path) -> tuple[bytes, str]:
    """The file and the model that it is for; refused here if it is no policy."""
    from cloud_hub.errors import Invalid
    from cloud_hub.policy.schema.parse import parse_policy
    from cloud_hub.text.yaml import text_of

    raw = file.read_bytes()
    model = parse_policy(text_of(raw, str(file)), str(file)).model
    if model is None:
        raise Invalid(f"{file}:1: model: say which model the policy is for")
    return raw, model


def _told(plan: Any) -> str:
    count = len(plan["changes"])
    said = f"{count} change{'s' * (count > 1)}" if count else "nothing changes"
    lines = [f"{plan['model']}: {said}", *(f"  {change['line']}" for change in plan["changes"])]
    if plan["replan"]:
        lines.append("  devices get a new plan")
    return "\n".join([*lines, *(f"warning: {text}" for text in plan["warnings"])])
