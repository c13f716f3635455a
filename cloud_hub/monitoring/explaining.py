"""Explains how drifted features moved the outputs of a model, from the hub's held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import columns_for
from cloud_hub.errors import HubFault
from cloud_hub.monitoring.figures import NotExplained, OutputShift
from cloud_hub.monitoring.findings import FleetWindow
from cloud_hub.statistics.detectors.output_shift import (
    explained,
    feature_part,
    mean_of_bins,
    places,
)
from edge_sdk.contract.errors import EdgeError
from edge_sdk.model.release import Release
from edge_sdk.model.schema import InputSchema

NO_ROWS: Final = "no held-out rows; edge-hub data add MODEL holdout FILE gives the hub some"

NO_TABLE: Final = "the inputs are no table, so there is no column whose part could be told"


def explain_drift(
    release: Release, held_out: Dataset | None, window: FleetWindow, names: Sequence[str]
) -> OutputShift | NotExplained:
    """Return the part of each drifted feature in the change of the mean output.

    The output is the confidence of a classifier, the value of a regressor.

    Args:
        release: the version that drifted.
        held_out: rows to run the model on.
        window: in which the features drifted.
        names: of the features.

    Returns:
        The parts, or the reason why there are none.
    """
    if not release.manifest.signature.columns:
        return NotExplained(NO_TABLE)
    if held_out is None:
        return NotExplained(NO_ROWS)
    try:
        rows = columns_for(held_out, release.manifest.signature.columns, release.manifest.version)
        name, outputs = _outputs(release, rows)
    except (EdgeError, HubFault) as error:
        return NotExplained(f"the held-out rows do not fit this version: {error}")
    if name is None:
        return NotExplained("the model has neither confidences nor values")
    profile = {f.name: f for f in release.profile().features}
    parts = [feature_part(n, places(profile[n], rows[n]), window.pooled(n), outputs) for n in names]
    change = _observed_change(release, window, name)
    share = None if change is None else explained(parts, change)
    short = (replace(p, moved=_short(p.moved), supported=_short(p.supported)) for p in parts)
    return OutputShift(
        output=name,
        changed_by=change,
        parts=tuple(short),
        explained_share=None if share is None else round(share, 3),
    )


def _outputs(release: Release, rows: Mapping[str, Any]) -> tuple[str | None, NDArray[np.float64]]:
    from edge_sdk.model.session import Model  # brings the runtime

    signature = release.manifest.signature
    missing = release.manifest.training.get("missing") == "allowed"
    # The device's own runtime: an output here is the output that a device would give.
    answers = Model.load(release).run(InputSchema(signature, missing=missing).batch(rows))
    sure, value = signature.output("probabilities"), signature.output("value")
    if sure is not None:
        return "confidence", answers[sure.name].max(axis=1).astype(np.float64)
    if value is not None:
        return "value", answers[value.name].reshape(len(answers[value.name]), -1)[:, 0].astype(
            np.float64
        )
    return None, np.zeros(0)


def _observed_change(release: Release, window: FleetWindow, name: str) -> float | None:
    output = next((o for o in release.profile().outputs if o.name == name), None)
    if output is None or output.edges is None:
        return None
    before = mean_of_bins(output.counts, output.edges)
    after = mean_of_bins(window.pooled(name), output.edges)
    return None if before is None or after is None else _short(after - before)


def _short(value: float) -> float:
    return float(f"{value:.4g}")
