"""``edge-hub personalise evidence``: what devices said of how their units are served."""

from __future__ import annotations

from typing import Any

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result


def evidence(hub: HubAddress, model: types.Model) -> Result:
    """Show what devices said of personalisation: units, outcomes, whether it helps."""
    found = hub.client().get(f"models/{model}/personalise/evidence")
    return Result(found, evidence_text)


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
