"""The fleet as a page shows it: counts, versions by cohort, one page of devices. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cloud_hub.fleet.health import state_of

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.fleet.search import FleetSearch
    from edge_sdk.contract.plan import Plan

ROWS: Final = 50
"""Devices on one page."""

SERIES: Final = 5
"""Versions that have a colour of their own; the rest share one."""

COHORTS: Final = 15
TONES: Final = {
    "healthy": "good", "pending": "info", "late": "warn", "lost": "bad", "failed": "bad",
    "revoked": "quiet", "cloned": "bad", "waiting": "info",
}  # fmt: skip
"""Tone of each state of a device."""

URGENCY: Final = ("failed", "cloned", "lost", "late", "waiting", "pending", "healthy", "revoked")
"""What a person should see first."""

NONE_YET: Final = "none yet"


@dataclass(frozen=True)
class FleetDevice:
    """One model on one device; ``state`` is its health, or why it takes no part."""

    record: DeviceRecord
    state: str
    flags: int

    @property
    def tone(self) -> str:
        """Tone of its state."""
        return TONES[self.state]


@dataclass(frozen=True)
class FleetSnapshot:
    """The whole fleet at a moment (Unix seconds)."""

    devices: tuple[FleetDevice, ...]
    at: float

    def seen_by(self, sees: Callable[[str], bool]) -> FleetSnapshot:
        """Return what somebody may see of it, who sees some models."""
        return replace(self, devices=tuple(d for d in self.devices if sees(d.record.model)))


@dataclass(frozen=True)
class Series:
    """A version in the picture of cohorts: its colour, name and number of devices."""

    tone: str
    name: str
    count: int


@dataclass(frozen=True)
class CohortRow:
    """Devices of one value of an attribute; ``parts`` are (share, tone, words) by version."""

    value: str
    count: int
    parts: tuple[tuple[float, str, str], ...]


@dataclass(frozen=True)
class FleetView:
    """All that the page shows.

    Attributes:
        found: devices that the search finds.
        states: number of them by state, most urgent first.
        series: versions, the most frequent first.
        cohorts: by the attribute that was chosen, the largest first.
        names: of attributes, the most frequent first.
        by: the attribute that was chosen; empty where there is none.
        rows: the devices of this page.
        page: its number, from 1.
        pages: number of pages.
    """

    found: int
    states: tuple[tuple[str, int], ...]
    series: tuple[Series, ...]
    cohorts: tuple[CohortRow, ...]
    names: tuple[str, ...]
    by: str
    rows: tuple[FleetDevice, ...]
    page: int
    pages: int


def snapshot(
    records: Sequence[DeviceRecord],
    plans: Mapping[str, Plan | None],
    flags: Mapping[tuple[str, str], Sequence[object]],
    now: float,
) -> FleetSnapshot:
    """Return the fleet at a moment.

    Args:
        records: of all devices.
        plans: newest of each model.
        flags: of devices that have some, by device and model.
        now: Unix seconds.
    """
    devices = (
        FleetDevice(
            record,
            state_of(record, plans.get(record.model), now),
            len(flags.get((record.device, record.model), ())),
        )
        for record in records
    )
    return FleetSnapshot(tuple(devices), now)


def fleet_view(whole: FleetSnapshot, search: FleetSearch, by: str, page: int) -> FleetView:
    """Return what the page shows of a fleet.

    Args:
        whole: the fleet.
        search: devices that are meant.
        by: attribute of the picture; the most frequent one where none of them has it.
        page: of the list, from 1.
    """
    found = [each for each in whole.devices if search.finds(each.record, each.state)]
    counts = Counter(each.state for each in found)
    names = Counter(name for each in found for name in each.record.attributes)
    ordered = tuple(name for name, _ in names.most_common(30))
    by = by if by in names else next(iter(ordered), "")
    several = len({each.record.model for each in found}) > 1
    series = _series(found, several)
    pages = max(1, -(-len(found) // ROWS))
    page = min(max(page, 1), pages)
    found.sort(key=lambda each: (URGENCY.index(each.state), -each.record.seen_at))
    return FleetView(
        len(found),
        tuple((state, counts[state]) for state in URGENCY if counts[state]),
        series,
        _cohorts(found, by, series, several),
        ordered,
        by,
        tuple(found[(page - 1) * ROWS : page * ROWS]),
        page,
        pages,
    )


def release_name(record: DeviceRecord, several: bool) -> str:
    """Return what serves on a device, with its model where there are several."""
    version = record.version or NONE_YET
    return f"{record.model} {version}" if several else version


def _series(found: Sequence[FleetDevice], several: bool) -> tuple[Series, ...]:
    counts = Counter(release_name(each.record, several) for each in found)
    most = counts.most_common()
    shown = [Series(f"s{i}", name, count) for i, (name, count) in enumerate(most[:SERIES])]
    rest = sum(count for _, count in most[SERIES:])
    if rest:
        shown.append(Series("s5", f"{len(most) - SERIES} others", rest))
    return tuple(shown)


def _cohorts(
    found: Sequence[FleetDevice], by: str, series: Sequence[Series], several: bool
) -> tuple[CohortRow, ...]:
    tones = {each.name: each.tone for each in series}
    cohorts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in found:
        value = each.record.attributes.get(by, "") if by else "all devices"
        cohorts[value][release_name(each.record, several)] += 1
    rows = []
    for value, versions in cohorts.items():
        count = versions.total()
        parts = tuple(
            (number / count, tones.get(name, "s5"), f"{name}: {number}")
            for name, number in sorted(
                versions.items(), key=lambda item: (tones.get(item[0], "s5"), item[0])
            )
        )
        rows.append(CohortRow(value, count, parts))
    rows.sort(key=lambda row: (-row.count, row.value))
    return tuple(rows[:COHORTS])
