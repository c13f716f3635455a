"""Findings of monitoring as a page shows them: by severity, with pictures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.web.bars import histogram
from cloud_hub.web.charts import Line, chart
from cloud_hub.web.wording import ShownFigure, figure, signal_name, value_text

if TYPE_CHECKING:
    from cloud_hub.monitoring.store import FigureRecord
    from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile

FEATURE_KINDS: Final = ("drift", "domain", "devices")
"""Kinds of signals that are about one column or output."""

SHOWN: Final = 25
"""Signals in one table, the most severe; the rest is shown where somebody asks."""

MOST: Final = 300
"""Signals on one page, whoever asks."""

MOST_VERSIONS: Final = 4
"""Versions in one chart, the newest."""

GAP: Final = 5
"""Usual distances of windows after which a line ends."""

SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "drift": ("ks", "psi", "js", "p", "n"),
    "domain": ("rate", "rate_at_training", "score", "p", "n"),
    "devices": ("who", "changed", "of", "p"),
    "estimate": ("accuracy", "low", "high", "reference", "n"),
    "concept": ("labelled", "errors", "base_rate", "measured", "mae", "base_mae", "coverage",
                "evidence", "alarm_from"),
    "fairness": ("answer", "best", "worst", "most", "least", "low", "high"),
    "refused": ("refused", "tried", "share"),
}  # fmt: skip
"""Figures of each kind that are shown."""


@dataclass(frozen=True)
class SignalRow:
    """One signal: its name, how far it is from what is usual, and its figures in words."""

    signal: str
    kind: str
    alarming: bool
    effect: float
    figures: tuple[ShownFigure, ...]
    expected: str | None
    groups: tuple[Mapping[str, Any], ...] = ()

    @property
    def words(self) -> str:
        """Its name in words."""
        return signal_name(self.signal)

    @property
    def name(self) -> str:
        """Column, output or group that it is about."""
        return self.signal.partition(":")[2]

    @property
    def of_feature(self) -> str:
        """Column that has a picture, if it is about one."""
        return self.name.partition(":")[0] if self.kind in FEATURE_KINDS else ""


def rows_of(records: Sequence[FigureRecord], *kinds: str) -> list[SignalRow]:
    """Return the signals of some kinds, alarming ones first, then those that are farthest off.

    Args:
        records: as the newest window has them.
        *kinds: of signals.
    """
    wanted = [record for record in records if record.kind in kinds]
    wanted.sort(key=lambda record: (not record.alarming, -abs(record.effect), record.signal))
    return [_row(record) for record in wanted]


def said(kind: str, figures: Mapping[str, Any]) -> tuple[ShownFigure, ...]:
    """Return figures in words, without those that are not there.

    Args:
        kind: of the signal.
        figures: of a finding or an alarm, as stored.
    """
    names = SAYS.get(kind) or tuple(figures)
    found = [figure(name, figures[name], kind) for name in names if figures.get(name) is not None]
    return (*found, *_moved(figures.get("moved")))


def picture_of(feature: FeatureProfile, counts: Sequence[int]) -> str:
    """Return reference against now as a chart; empty without observations.

    Args:
        feature: with its bins and the counts of training, [bins + 2].
        counts: of the windows, [bins + 2].
    """
    # The name is escaped where the chart is made, as all of it.
    return histogram(
        bin_names(feature), feature.counts, counts, label=f"{feature.name}: reference and now"
    )


def bin_names(feature: FeatureProfile) -> list[str]:
    """Return a name for each bin of a feature, [bins + 2]."""
    if feature.categories is not None:
        names = list(feature.categories)
    else:
        edges = feature.edges or (0.0,)
        names = [f"{edge:.3g}" for edge in edges[: feature.bins]]
    return [*names, "missing", "other"]


def history_chart(records: Sequence[FigureRecord]) -> str:
    """Return the effect of one signal over its windows, a line a version; empty below two."""
    lines = [
        Line(
            escape(f"{signal_name(records[-1].signal)}, {version}"),
            _points(rows),
            begins=_begins(rows),
        )
        for version, rows in _by_version(records)
    ]
    if not lines:
        return ""
    return chart(lines, label=f"{escape(signal_name(records[-1].signal))} by window")


def accuracy_chart(records: Sequence[FigureRecord]) -> str:
    """Return the accuracy that was estimated before labels, with its interval, a line a version."""
    known = [record for record in records if record.figures.get("accuracy") is not None]
    lines, reference = [], 0.0
    for version, rows in _by_version(known):
        points = [(float(r.start), float(r.figures["accuracy"])) for r in rows]
        band = [(float(r.start), float(r.figures["low"]), float(r.figures["high"])) for r in rows]
        lines.append(Line(escape(f"before labels, {version}"), points, band, _begins(rows)))
        reference = float(rows[-1].figures["reference"])
    if not lines:
        return ""
    return chart(
        lines, levels=[(reference, "on held-out rows of the newest")],
        label="accuracy estimated before labels, by window",
    )  # fmt: skip


def _by_version(records: Sequence[FigureRecord]) -> list[tuple[str, list[FigureRecord]]]:
    """Return the windows of each version in order of time, those of the newest versions."""
    found: dict[str, dict[int, FigureRecord]] = {}
    for record in sorted(records, key=lambda each: each.start):
        # Evaluated again, a window has two records: the later one counts.
        found.setdefault(record.version, {})[record.start] = record
    drawn = [(version, list(rows.values())) for version, rows in found.items() if len(rows) > 1]
    return drawn[-MOST_VERSIONS:]


def _points(rows: Sequence[FigureRecord]) -> list[tuple[float, float]]:
    return [(float(row.start), float(row.effect)) for row in rows]


def _begins(rows: Sequence[FigureRecord]) -> list[int]:
    """Indices after a gap: where nothing was seen no line is drawn."""
    steps = [after.start - before.start for before, after in pairwise(rows)]
    usual = sorted(steps)[len(steps) // 2]
    return [i for i, step in enumerate(steps, 1) if step > GAP * usual]


def feature_named(profile: ReferenceProfile, name: str) -> FeatureProfile | None:
    """Return the column or output of a profile with this name."""
    every = (*profile.features, *profile.outputs)
    return next((feature for feature in every if feature.name == name), None)


def _row(record: FigureRecord) -> SignalRow:
    return SignalRow(
        record.signal, record.kind, record.alarming, record.effect,
        said(record.kind, record.figures), record.expected,
        tuple(record.figures.get("groups") or ()),
    )  # fmt: skip


def _moved(moved: Mapping[str, Any] | None) -> tuple[ShownFigure, ...]:
    if not moved:
        return ()
    if "shares_changed" in moved:
        changes = list(moved["shares_changed"].items())[:3]
        return (
            ShownFigure("moved", ", ".join(f"{name} {change:+.1%}" for name, change in changes)),
        )
    before, after = (value_text(moved.get(f"mean_{when}")) for when in ("before", "after"))
    return (ShownFigure("mean", f"{before} → {after}"),)
