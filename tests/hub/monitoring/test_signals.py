"""Signals by name: in the order of the model's columns, and refused when no model has such."""

from __future__ import annotations

import pytest

from cloud_hub.monitoring.signals import in_order, why_none
from cloud_hub.monitoring.store import FigureRecord

NAMES = ["x1", "x2", "x10", "a:b", "label", "confidence"]


def row(signal: str, kind: str = "", alarming: bool = False) -> FigureRecord:
    kind = kind or signal.partition(":")[0]
    return FigureRecord(1, "demo", "1.0", signal, kind, 0, 60, alarming, 0.0, {})


def test_alarms_come_first_then_kinds_then_columns_in_their_order() -> None:
    signals = [
        row("drift:x10"), row("drift:confidence"), row("drift:x2"), row("drift:a:b"),
        row("domain:x10:missing"), row("domain:x2:outside"), row("domain:low confidence"),
        row("outlier:label", "domain"), row("drift:x1", alarming=True), row("concept:errors"),
    ]  # fmt: skip
    assert [found.signal for found in in_order(signals, NAMES)] == [
        "drift:x1",
        "concept:errors",
        "domain:x2:outside", "domain:x10:missing", "outlier:label", "domain:low confidence",
        "drift:x2", "drift:x10", "drift:a:b", "drift:confidence",
    ]  # fmt: skip


POSSIBLE = [
    "drift:x10", "drift:a:b", "devices:x2", "domain:x2:missing", "domain:a:b:outside",
    "outlier:label", "domain:low confidence", "estimate:accuracy", "concept:errors",
    "fairness:region", "selection:sex", "concept:sex=f", "drift:sex=f:label",
]  # fmt: skip


@pytest.mark.parametrize("signal", POSSIBLE)
def test_a_signal_that_the_model_can_have_is_none_to_refuse(signal: str) -> None:
    assert why_none(signal, NAMES, ["sex=f", "sex=m"]) == ""


@pytest.mark.parametrize(
    "signal",
    [
        "",
        "x10",
        "drift:",
        "drift:x3",
        "dirft:x1",
        "moon:full",
        "concept:sex=f",
        "drift:sex=f:label",
    ],
)
def test_a_signal_that_no_window_can_ever_have_is_refused_with_those_that_there_are(
    signal: str,
) -> None:
    assert f"no signal {signal!r}; " in why_none(signal, NAMES)
    assert "there are drift:x1, drift:x2, drift:x10" in why_none(signal, NAMES)
    assert "did you mean drift:x1?" in why_none("dirft:x1", NAMES)
