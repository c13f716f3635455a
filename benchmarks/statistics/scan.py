"""Who differs: a few devices or one cohort that changed, in fleets of every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.signal import lfilter

from benchmarks.statistics.drift import TRAINING, binned
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level, power
from cloud_hub.monitoring.findings import FleetWindow, References, evaluate
from cloud_hub.monitoring.scanning import scan
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile

DEVICES: Final = 100
ROWS: Final = 200
"""Rows of a device and window."""

NUMBERS: Final = 4
PAST: Final = 24
"""Windows before; of an hour, so that they hold a whole day."""

LOOK: Final = 3
"""Windows within which a change is to be found."""

IN_A_ROW: Final = 2
SHARES: Final = np.array([0.01, *[0.11] * 9])
CATEGORIES: Final = tuple("abcdefghij")
ODD: Final = DEVICES // 10


@dataclass(frozen=True)
class World:
    """A kind of fleet. Devices' means differ by ``unlike`` sd (``heavy``: Student's, of 3 degrees),
    rows have ``correlation`` with the next, a day moves means by ``season`` and each device by more
    or less of it, windows of each device move by ``restless`` times a lognormal of its own.
    """

    name: str
    unlike: float = 0.0
    heavy: bool = False
    correlation: float = 0.0
    season: float = 0.0
    restless: float = 0.0


@dataclass(frozen=True)
class Change:
    """A change of the first ``devices``: of the first number by ``shift`` sd, of the rare category
    to ``rare``; with ``cohort`` they have an attribute in common.
    """

    name: str = ""
    devices: int = 0
    shift: float = 0.0
    rare: float = 0.01
    cohort: bool = False


WORLDS: Final = (
    World("unlike", unlike=0.5),
    World("clean"),
    World("unlike, heavy tails", unlike=0.5, heavy=True),
    World("unlike, seasonal", unlike=0.5, season=0.5),
    World("correlated .9", correlation=0.9),
    World("correlated .99, unlike", unlike=0.3, correlation=0.99),
    World("restless windows", restless=0.2),
)
NOTHING: Final = Change()
SHIFT: Final = Change("10% of devices shifted by 2 sd", ODD, 2.0)
RARE: Final = Change("a category from 1% to 5%, everywhere", DEVICES, rare=0.05)
COHORT: Final = Change("the same in a cohort of 10% of devices", ODD, rare=0.05, cohort=True)
ONE: Final = Change("one device shifted by 2 sd", 1, 2.0)


def run(effort: Effort) -> list[Row]:
    """Nothing happens; each change in each world."""
    rows = []
    for number, world in enumerate(effort.cells(WORLDS, quick=1)):
        runs = effort.runs_for_level(200, 0.05)
        hits = sum(bool(found(world, NOTHING, generator(141, number, i))) for i in range(runs))
        about = f"{world.name}: nothing happens, an alarm within {LOOK} windows"
        rows.append(level(about, hits, runs, 0.05, claim="14"))
    if effort.quick:
        return rows
    for change in (SHIFT, RARE, COHORT, ONE):
        rows += [_found(change, world, effort.runs(50)) for world in WORLDS if not world.restless]
    rows.append(_young(effort.runs(50)))
    return rows


def _found(change: Change, world: World, runs: int) -> Row:
    alarms = [found(world, change, generator(142, i)) for i in range(runs)]
    right = (
        "drift:kind" if change is RARE else "devices:kind" if change.shift == 0 else "devices:x0"
    )
    hits = sum(right in each for each in alarms)
    about = f"{world.name}: {change.name}: found within {LOOK} windows"
    # In runs of rows that are alike, 200 rows are worth twenty, or two.
    if change is ONE or world.correlation:
        return Row(about, "", exact_rate(hits, runs), claim="14")
    return power(about, hits, runs, 0.8, claim="14")


def _young(runs: int) -> Row:
    """A version without a past, shifted from its first window on."""
    world = World("clean")
    hits = sum("devices:x0" in found(world, SHIFT, generator(143, i), past=0) for i in range(runs))
    about = f"clean, no past: {SHIFT.name}: found within {LOOK} windows"
    return Row(about, "", exact_rate(hits, runs), claim="14")


def found(
    world: World, change: Change, random: np.random.Generator, *, past: int = PAST
) -> set[str]:
    """Return the signals of kind drift and devices that alarm in one of the last windows.

    Args:
        world: kind of the fleet.
        change: happens with the first of the last windows.
        random: where chance comes from.
        past: windows before the change.
    """
    profile, windows = simulated(random, world, change, past)
    raised: set[str] = set()
    drifting: set[str] = set()
    for now in range(past, past + LOOK):
        newest = windows[max(0, now + 1 - IN_A_ROW) : now + 1]
        before = windows[max(0, now - IN_A_ROW - PAST) : max(0, now - IN_A_ROW)]
        # Where a day has a rhythm, the policy's reference is the season.
        day = windows[now - PAST] if world.season and now >= PAST else None
        season = {f.name: np.array(day.pooled(f.name)) for f in profile.features} if day else {}
        against = References(profile, season, past=before)
        findings = evaluate(windows[now], against, outputs=False)
        alarming = {f.signal for f in findings if f.alarming and f.kind == "drift"}
        raised |= alarming & drifting
        drifting = alarming
        if len(newest) == IN_A_ROW:
            raised |= {f.signal for f in scan(newest, before, profile.features) if f.alarming}
    return raised


def simulated(
    random: np.random.Generator, world: World, change: Change, past: int
) -> tuple[ReferenceProfile, list[FleetWindow]]:
    """Return what training looked like, and the windows of a fleet."""
    count = past + LOOK
    numbers = {f"x{i}": _number(random, world, count) for i in range(NUMBERS)}
    numbers["x0"][: change.devices, past:] += change.shift
    spread = np.sqrt(1 + world.unlike**2)
    histograms: dict[str, Floats] = {
        name: np.stack([binned(each[:, t] / spread) for t in range(count)])
        for name, each in numbers.items()
    }
    histograms["kind"] = _kinds(random, world, change, past)
    features = [
        FeatureProfile(name, _training(random), tuple(np.linspace(0, 1, 33).tolist()))
        for name in numbers
    ]
    rows = tuple(random.multinomial(TRAINING, SHARES).tolist())
    features.append(FeatureProfile("kind", (*rows, 0, 0), None, CATEGORIES))
    names = tuple(f"d{i:03}" for i in range(DEVICES))
    where = _attributes(random, names, change)
    windows = [
        FleetWindow(t * 3_600, t * 3_600 + 3_600, names,
                    {name: each[t].astype(np.int64) for name, each in histograms.items()}, where)
        for t in range(count)
    ]  # fmt: skip
    return ReferenceProfile(TRAINING, tuple(features)), windows


def _training(random: np.random.Generator) -> tuple[int, ...]:
    counts: list[int] = binned(random.standard_normal((1, TRAINING)))[0].astype(int).tolist()
    return tuple(counts)


def _number(random: np.random.Generator, world: World, count: int) -> Floats:
    """One number, [devices, windows, rows]."""
    noise = random.standard_normal((DEVICES, count * ROWS))
    phi = world.correlation
    if phi:
        noise[:, 1:] *= np.sqrt(1 - phi**2)
        noise = lfilter([1.0], [1.0, -phi], noise, axis=1)
    size = (DEVICES, 1, 1)
    own: Any = random.standard_t(3, size) if world.heavy else random.standard_normal(size)
    hours = np.sin((np.arange(count) / 24 + random.random()) * 2 * np.pi)[None, :, None]
    loading = 1 + 0.5 * random.standard_normal(size)
    restless = np.exp(random.standard_normal(size)) * random.standard_normal((DEVICES, count, 1))
    values: Floats = noise.reshape(DEVICES, count, ROWS) + world.unlike * own
    return values + world.season * loading * hours + world.restless * restless


def _kinds(random: np.random.Generator, world: World, change: Change, past: int) -> Floats:
    """Counts of categories, [windows, devices, categories + 2]; shares differ where devices do."""
    count = past + LOOK
    concentration = 40 / world.unlike**2 if world.unlike else 1e9
    own = random.dirichlet(concentration * SHARES, DEVICES)
    counts = np.zeros((count, DEVICES, len(SHARES) + 2))
    for t in range(count):
        shares = own.copy()
        if t >= past and change.rare != SHARES[0]:
            shares[: change.devices] *= (1 - change.rare) / (1 - own[: change.devices, :1])
            shares[: change.devices, 0] = change.rare
        # In runs of rows that are alike, a window holds fewer of them.
        runs = max(1, round((1 + world.correlation) / (1 - world.correlation)))
        counts[t, :, :-2] = random.multinomial(ROWS // runs, shares) * runs
    return counts


def _attributes(
    random: np.random.Generator, names: Sequence[str], change: Change
) -> Mapping[str, Mapping[str, str]]:
    regions = random.choice(["eu", "asia", "us"], len(names), p=[0.6, 0.3, 0.1])
    if change.cohort:
        regions = np.where(regions == "us", "eu", regions)
        regions[: change.devices] = "us"
    return {name: {"region": str(region)} for name, region in zip(names, regions, strict=True)}


PART = Part(
    "Who differs",
    f"{DEVICES} devices with {ROWS} rows a window, {NUMBERS} numbers and a text of {len(SHARES)} "
    f"categories, {PAST} windows of an hour before. What counts is an alarm of drift or devices, "
    f"each of {IN_A_ROW} windows in a row, within {LOOK} windows.",
    run,
    quick=True,
)
