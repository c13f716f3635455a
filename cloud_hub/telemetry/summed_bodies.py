"""Sums of window reports, as plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cloud_hub.database.documents import Document
from cloud_hub.telemetry.histograms import histograms_of
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.resources import worst


def merged_bodies(bodies: Sequence[Document]) -> dict[str, Any]:
    """The sum of window reports as plain JSON; resources are the worst."""
    merged: dict[str, Any] = {"features": _summed_histograms(bodies), "outputs": NO_HISTOGRAMS}
    for name in ("predictions", "errors", "lost"):
        merged[name] = dict(sum((Counter(body.get(name, {})) for body in bodies), Counter()))
    for name in ("observations", "degraded", "defaulted", "stale", "units"):
        merged[name] = sum(body.get(name, 0) for body in bodies)
    sources = {source for body in bodies for source in body.get("latency", {})}
    merged["latency"] = {
        source: _summed([b["latency"][source] for b in bodies if source in b.get("latency", {})])
        for source in sources
    }
    merged["resources"] = worst([body.get("resources", {}) for body in bodies])
    for name in ("variant", "provider"):
        # Of several at once the sum is nobody's.
        values = {body.get(name) for body in bodies}
        if len(values) == 1 and None not in values:
            merged[name] = values.pop()
    energy = merged_energy([body.get("energy") for body in bodies])
    return merged if energy is None else {**merged, "energy": energy}


def merged_energy(reports: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Return the sums of joules, predictions and seconds of devices that have a meter.

    ``None`` if none has.
    """
    metered = [energy for energy in reports if energy is not None]
    names = ("joules", "predictions", "seconds")
    return {name: sum(each[name] for each in metered) for name in names} if metered else None


def _summed(rows: Sequence[Any]) -> list[int]:
    total: list[int] = np.sum(np.asarray(rows, dtype=np.int64), axis=0).tolist()
    return total


def _summed_histograms(bodies: Sequence[Document]) -> str:
    """The sum of all, as a text; those of outputs stand after those of features."""
    with_some = (histograms_of(body) for body in bodies if body.get("observations"))
    total = next(with_some, None)
    if total is None:
        return NO_HISTOGRAMS
    for histograms in with_some:
        total.add(histograms)
    return encode_histograms(total)
