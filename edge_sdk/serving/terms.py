"""Terms under which a release serves on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.serving_terms import CascadePolicy, Personalisation, Reporting, Sharing


@dataclass(frozen=True)
class ServingTerms:
    """Terms under which a release serves: its arm, and what the plan says of reporting and cloud.

    Attributes:
        experiment: id of the plan's experiment; ``None`` without one.
        arm: the release's arm in it.
        reporting: window length, minimum observations, votes.
        sharing: what the plan asks of owners who opted in.
        cascade: when to ask the cloud, and how long to wait for it.
        personalise: how it adapts to units; ``None``: not at all.
    """

    experiment: str | None = None
    arm: str = "control"
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()
    personalise: Personalisation | None = None


NOTHING_SERVES: Final = dict.fromkeys(
    (
        "model",
        "version",
        "variant",
        "provider",
        "nodes",
        "pack",
        "features",
        "experiment",
        "arm",
        "ignored",
    )
)
"""The status of a device without a release."""
