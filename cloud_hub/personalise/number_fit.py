"""Prior of a regressor's units: how their offsets and slopes vary, by moments."""

from __future__ import annotations

from typing import Final

import numpy as np

from cloud_hub.personalise.rows import NumberRows, Numbers
from edge_sdk.contract.personal.prior import NumberPrior

LEAST_ROWS: Final = 3
"""Of a unit, for a line of its own."""

UNKNOWN_SHARE: Final = 0.25
"""Of the noise, as variance between units that nobody has seen."""


def fit_number_prior(rows: NumberRows, before: NumberPrior | None = None) -> NumberPrior:
    """Fit the prior.

    Args:
        rows: of units, or without.
        before: prior whose centre and scale are kept, so that units keep what they learnt.
    """
    if before is None:
        centre, scale = float(rows.values.mean()), float(rows.values.std())
        scale = scale if scale > 1e-9 * max(abs(centre), 1e-9) else 1.0
    else:
        centre, scale = before.centre, before.scale
    z, error = (rows.values - centre) / scale, rows.truths - rows.values
    units = np.zeros(len(z), np.int64) if rows.units is None else rows.units
    lines = [_line(z[units == unit], error[units == unit]) for unit in range(int(units.max()) + 1)]
    free = sum(max(count - 2, 0) for _, _, _, count in lines)
    noise = sum(rest for _, _, rest, _ in lines) / max(free, 1)
    noise = max(noise, 1e-12 * scale**2, 1e-30)
    if rows.units is None or free == 0:
        share = UNKNOWN_SHARE * noise
        return NumberPrior(centre, scale, share, share, noise)
    enough = [i for i, line in enumerate(lines) if line[3] >= LEAST_ROWS]
    theta = np.array([lines[i][0] for i in enough])
    chance = np.array([lines[i][1] for i in enough]) * noise
    cohorts, theta = _cohorts(rows, enough, theta)
    # A unit whose answers are all alike says nothing of slopes: it weighs as it is sure.
    weight = 1.0 / (chance + noise)
    spread = ((theta**2 - chance) * weight).sum(axis=0) / weight.sum(axis=0)
    offset, slope = np.maximum(spread, 1e-3 * noise).tolist()
    return NumberPrior(centre, scale, offset, slope, noise, cohorts)


def _line(z: Numbers, error: Numbers) -> tuple[Numbers, Numbers, float, int]:
    """Return (θ₀, θ₁), their variances over the noise's, the rest's squares and the rows."""
    if len(z) < LEAST_ROWS:
        return np.zeros(2), np.full(2, np.inf), 0.0, 0
    design = np.stack([np.ones(len(z)), z], axis=1)
    # A ridge of one thousandth of a row keeps a unit of equal answers finite.
    inverse = np.linalg.inv(design.T @ design + 1e-3 * np.eye(2))
    theta = inverse @ design.T @ error
    rest = error - design @ theta
    return theta, np.diag(inverse), float(rest @ rest), len(z)


def _cohorts(
    rows: NumberRows, units: list[int], theta: Numbers
) -> tuple[dict[str, tuple[float, float]], Numbers]:
    """Return mean (θ₀, θ₁) of cohorts, shrunken, and what is left of each unit's."""
    if not rows.cohorts:
        return {}, theta
    names = np.array(rows.cohorts, object)[units]
    found, rest = {}, theta.copy()
    for name in sorted(set(rows.cohorts)):
        own = names == name
        count = int(own.sum())
        mean = theta[own].sum(axis=0) / (count + 3.0)
        found[name] = (float(mean[0]), float(mean[1]))
        rest[own] -= mean
    return found, rest
