"""Failures by device and period, of the devices that a guardrail looks at.

Guardrails on failures read so many devices an arm (:data:`cloud_hub.statistics.heterogeneity.MOST`)
and choose them by a hash of their names; only of those are periods kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.heterogeneity import MOST, Counts
from edge_sdk.contract.window import LATENCY_BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_hub.simulate.drawing import DrawnWindow
    from cloud_hub.simulate.population import Places
    from cloud_hub.simulate.scenario import LateLabels

Kinds = dict[str, dict[tuple[str, int], Counts]]


@dataclass
class _Period:
    """Counts of one arm in one period, [P] each in the order of ``places``."""

    places: Places
    errors: NDArray[np.int64]
    requests: NDArray[np.int64]
    labelled: NDArray[np.int64]
    wrong: NDArray[np.int64]


@dataclass
class _Coming:
    """Labels of one window of one arm's panel that have not come yet."""

    period: _Period
    end: float
    at: Places
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    came: float = 0.0


class Panel:
    """Failures since a person last looked, of at most :data:`MOST` devices an arm and step."""

    def __init__(self, late: LateLabels) -> None:
        self._late = late
        self._periods: dict[tuple[int, int], _Period] = {}
        self._coming: list[_Coming] = []
        self._places: dict[int, Places] = {}

    def begin_step(self, arms: dict[int, Places]) -> None:
        """Choose the devices that are looked at.

        Args:
            arms: places of the devices of each arm in the order in which gates choose them.
        """
        self._places = {arm: np.sort(places[:MOST]) for arm, places in arms.items()}

    def add(self, arm: int, period: int, drawn: DrawnWindow, end: float) -> None:
        """Add a window of an arm.

        Args:
            arm: number of the arm.
            period: begin of the day or step that it counts for, Unix seconds.
            drawn: of devices of the arm.
            end: of the window, Unix seconds.
        """
        places = self._places.get(arm)
        if places is None or not len(places):
            return
        of = self._periods.get((arm, period))
        if of is None:
            zeros = [np.zeros(len(places), dtype=np.int64) for _ in range(4)]
            of = self._periods[arm, period] = _Period(places, *zeros)
        at = np.searchsorted(of.places, drawn.index)
        at[at == len(of.places)] = 0
        chosen = of.places[at] == drawn.index
        at = at[chosen]
        of.errors[at] += drawn.errors[chosen]
        of.requests[at] += drawn.requests[chosen]
        wrong = drawn.wrong[chosen].astype(np.int64)
        right = drawn.labelled[chosen].astype(np.int64) - wrong
        self._coming.append(_Coming(of, end, at, right, wrong))

    def look(self, now: float, rng: np.random.Generator) -> None:
        """Let the labels come that have come by ``now`` (Unix seconds)."""
        for window in self._coming:
            share = self._late.came(now - window.end)
            left = 1 - window.came
            chance = min(1.0, (share - window.came) / left) if left > 0 else 0.0
            right, wrong = (rng.binomial(each, chance) for each in (window.right, window.wrong))
            window.period.labelled[window.at] += right + wrong
            window.period.wrong[window.at] += wrong
            window.right, window.wrong, window.came = (
                window.right - right, window.wrong - wrong, share,
            )  # fmt: skip
        self._coming = [w for w in self._coming if w.right.any() or w.wrong.any()]

    def failures(self, arm: int, names: Sequence[str]) -> Kinds:
        """Return (failed, of how many) of an arm by kind, device and period.

        Args:
            arm: number of the arm.
            names: of the whole fleet.
        """
        kinds: Kinds = {"errors": {}, "wrong labels": {}}
        for (number, period), of in self._periods.items():
            if number != arm:
                continue
            told = np.flatnonzero(of.requests)
            keys = [(names[i], period) for i in of.places[told].tolist()]
            for kind, failed, whole in (
                ("errors", of.errors, of.requests),
                ("wrong labels", of.wrong, of.labelled),
            ):
                counts = zip(failed[told].tolist(), whole[told].tolist(), strict=True)
                kinds[kind].update(zip(keys, counts, strict=True))
        return kinds


def histograms(
    index: Places, n: NDArray[np.int64], mean: NDArray[np.floating], names: Sequence[str],
    rng: np.random.Generator, *, noise: float, bins: int = LATENCY_BINS,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Draw histograms of the time of answers, by device.

    Args:
        index: places of the devices, [K].
        n: answers of each, [K].
        mean: of log2 of microseconds, [K].
        names: of the whole fleet.
        rng: decides.
        noise: standard deviation of log2 of the time of one answer.
        bins: of the histogram.
    """
    found = {}
    for place, count, middle in zip(index.tolist(), n.tolist(), mean.tolist(), strict=True):
        drawn = middle + noise * rng.standard_normal(min(count, 1_000))
        found[names[place]] = tuple(np.bincount(bins_of(drawn, bins), minlength=bins).tolist())
    return found


def bins_of(log2_us: NDArray[np.floating], bins: int) -> NDArray[np.intp]:
    """Return the bins of times, as devices count them."""
    return np.clip(np.floor(4 * log2_us), 0, bins - 1).astype(np.intp)
