"""Where answers came from, by day: packs, the model on the device, the cloud. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.web.charts import Line, chart

if TYPE_CHECKING:
    from cloud_hub.packs.service import PackRecord
    from cloud_hub.telemetry.windows import VersionWindow

HOUR: Final = 3_600
SOURCES: Final = ("pack", "model", "cloud")


@dataclass(frozen=True)
class SourceShares:
    """Predictions of some time by source, and what that saved.

    Attributes:
        predictions: all of them.
        by_source: number by source, such as ``pack``.
        degraded: for which the cloud was wanted and not reachable.
        wanted: for which the cloud was wanted: it answered, or was not reachable.
        saved: calls to the cloud that answers of packs and of a sure model made needless; 0 where
            devices never ask the cloud.
    """

    predictions: int
    by_source: tuple[tuple[str, int], ...]
    degraded: int
    wanted: int
    saved: int

    def share(self, source: str) -> float | None:
        """Return the share of a source, ``None`` without predictions."""
        return dict(self.by_source).get(source, 0) / self.predictions if self.predictions else None

    @property
    def parts(self) -> list[tuple[float, str, str]]:
        """Parts of a bar: share, colour, words."""
        return [
            (count / self.predictions, f"s{min(i, 5)}", f"{name}: {count:,}")
            for i, (name, count) in enumerate(self.by_source)
            if count
        ]


def shares_of(windows: Iterable[VersionWindow], *, asks_cloud: bool) -> SourceShares:
    """Return where the answers of some windows came from.

    Args:
        windows: of all versions and arms.
        asks_cloud: devices ask the cloud where their model is unsure.
    """
    counts: Counter[str] = Counter()
    degraded = 0
    for window in windows:
        counts.update(window.predictions)
        degraded += window.degraded
    whole = sum(counts.values())
    wanted = counts["cloud"] + degraded
    ordered = [*SOURCES, *sorted(set(counts) - set(SOURCES))]
    return SourceShares(
        whole, tuple((name, counts[name]) for name in ordered if counts[name]), degraded, wanted,
        whole - wanted if asks_cloud else 0,
    )  # fmt: skip


def sources_chart(windows: Sequence[VersionWindow]) -> str:
    """Return the share of packs and of the cloud by hour as a chart; empty below two hours."""
    hours: dict[int, Counter[str]] = defaultdict(Counter)
    for window in windows:
        hours[window.start // HOUR * HOUR].update(window.predictions)
    full = [(at, counts) for at, counts in sorted(hours.items()) if sum(counts.values())]
    if len(full) < 2:
        return ""
    lines = [
        Line(name, [(float(at), counts[name] / sum(counts.values())) for at, counts in full])
        for name in SOURCES
        if any(counts[name] for _, counts in full)
    ]
    return chart(lines, limits=(0.0, 1.05), label="share of predictions by source and hour")


def downloaded(records: Sequence[PackRecord]) -> tuple[int, int]:
    """Return (bytes that one device downloads for all these packs, bytes without deltas)."""
    return sum(r.delta or r.length for r in records), sum(r.length for r in records)
