"""``edge-hub personalise evidence``: what devices said of how their units are served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result

HtmlFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write it as a page to this file.")
]


def evidence(hub: HubAddress, model: types.Model, html: HtmlFile = None) -> Result:
    """Show what devices said of personalisation: units, outcomes, whether it helps."""
    path = f"models/{model}/personalise/evidence"
    if html is None:
        return Result(hub.client().get(path), evidence_text)
    html.write_text(hub.client().text(f"{path}.html"), encoding="utf-8")
    return Result({"wrote": str(html)}, lambda done: f"wrote {done['wrote']}")


def evidence_text(found: Any) -> str:
    """Return the figures as lines for people."""
    head = f"{found['model']}: prior {found['generation']}; {found['said']}"
    outcomes = found.get("outcomes")
    if outcomes is None:
        return head
    noise = ", each with noise" if found["noisy"] else ""
    release, personal = found["losses"]
    return "\n".join(
        [
            head,
            f"  {found['units']:,.0f} units of {found['voices']:,} devices{noise}; "
            f"{found['served']:.0%} of what was labelled was served personalised",
            f"  {found['better']:.0%} of the units gained, {found['worse']:.0%} lost; the guard "
            f"keeps {found['off']:.0%} at the release's own answers",
            f"  of the labels both answers had {outcomes['both']:.1%} right, the release alone "
            f"{outcomes['model_only']:.1%}, the personalised alone "
            f"{outcomes['personal_only']:.1%}, none {outcomes['neither']:.1%}",
            f"  mean log loss {release:.3g} without, {personal:.3g} with",
        ]
    )
