"""``edge-hub personalise rankings``: whether adapting lists to units helps."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, plural

POLICIES: Final = {
    "own": "the release's own order",
    "adapted": "what the unit's model thinks best",
    "logged": "what was shown",
}
ESTIMATORS: Final = ("importance", "self_normalised", "robust")

Version = Annotated[
    str | None,
    typer.Option(
        parser=types.version, metavar="VERSION", help="Default: the one that was reported last."
    ),
]
Days = Annotated[int, typer.Option(min=1, max=366, help="Days to look back.")]


def rankings(
    hub: HubAddress, model: types.Model, version: Version = None, days: Days = 28
) -> Result:
    """Show what lists that adapt are worth, beside the release's own order."""
    found = hub.client().get(f"models/{model}/personalise/rankings", version=version, days=days)
    return Result(found, _view)


def _view(found: dict[str, Any]) -> View:
    lists, devices = plural(found["lists"], "list"), plural(found["devices"], "device")
    lines = [
        f"{found['model']} {found['version']}: {found['said']}",
        f"  {lists} with an outcome of {found['shown']} shown, from {devices}, in "
        f"{plural(found['days'], 'day')}",
    ]
    if found["stopped"]:
        lines.append(f"  stopped on {plural(found['stopped'], 'device')}, where it did harm")
    lines.append(f"  gain of a list: {_interval(found['gain'])}")
    rows = []
    for name, policy in found["policies"].items():
        values = [_interval(policy["values"][each]) for each in ESTIMATORS]
        worth = f"{policy['effective']:.0f}"
        rows.append((POLICIES[name], *values, worth, f"{policy['unsupported']:.1%}"))
    columns = ("reward of a list", "importance", "self-normalised", "doubly robust",
               "worth lists", "no chance")  # fmt: skip
    return ["\n".join(lines), TextTable(columns, rows)]


def _interval(estimate: dict[str, Any]) -> str:
    if estimate.get("value") is None:
        return "not known yet"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
