"""Rules by which two arms are told apart: ours, and those that are usual."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtri, stdtr

from benchmarks.statistics.fleets import ab, evidence_of
from benchmarks.statistics.plugged.protocol import Decide, Verdicts
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import CANDIDATE
from cloud_hub.statistics.samples import Floats, Sample
from cloud_hub.statistics.sequential import multiplier
from edge_sdk.contract.plan import Outcome

ALPHA: Final = 0.05
SPEC: Final = ab(outcomes=(Outcome("accuracy", "accuracy"),), minimum_devices=1)


def this_hub(control: Sample, candidate: Sample) -> Verdicts:
    """The gate of an A/B test, without guardrails."""
    verdicts = [
        _gate(*(Sample(s.n[i], s.total[i], s.squares[i]) for s in (control, candidate)))
        for i in range(len(control.n))
    ]
    return _kept(np.array(verdicts))


def _gate(control: Sample, candidate: Sample) -> int:
    evidence = evidence_of(
        "accuracy", control.n + candidate.n, control.total + candidate.total, candidate.n > 0
    )
    decision = decide(SPEC, evidence)
    if decision.action != "conclude":
        return 0
    if decision.winner == CANDIDATE:
        return 1
    # Without a winner it says that nothing is gained: worse, or not different by what matters.
    [outcome] = decision.figures.outcomes or ()
    return -1 if outcome.high is not None and outcome.high < 0 else 0


def z_at_every_look(control: Sample, candidate: Sample) -> Verdicts:
    """Two-proportion z-test per request, read at every look until it is significant."""
    return _kept(_signed(_z(control, candidate), float(ndtri(1 - ALPHA / 2))))


def z_at_the_end(control: Sample, candidate: Sample) -> Verdicts:
    """The same, read once at the end: a fixed horizon."""
    return _last(_signed(_z(control, candidate), float(ndtri(1 - ALPHA / 2))))


def t_at_every_look(control: Sample, candidate: Sample) -> Verdicts:
    """Welch's t-test of devices' means, read at every look until it is significant."""
    return _kept(_welch(control, candidate))


def t_at_the_end(control: Sample, candidate: Sample) -> Verdicts:
    """The same, read once at the end: a fixed horizon."""
    return _last(_welch(control, candidate))


def always_valid_by_request(control: Sample, candidate: Sample) -> Verdicts:
    """Confidence sequence of independent requests (mSPRT): valid at any look, blind for devices."""
    n = np.minimum(control.n.sum(axis=-1), candidate.n.sum(axis=-1))
    return _kept(_signed(_z(control, candidate), multiplier(n, ALPHA)))


def _z(control: Sample, candidate: Sample) -> Floats:
    n, x, m, y = (a.sum(axis=-1) for s in (control, candidate) for a in (s.n, s.total))
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (x + y) / (n + m)
        z = (y / m - x / n) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    finite: Floats = np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def _welch(control: Sample, candidate: Sample) -> Verdicts:
    (ma, va, a), (mb, vb, b) = _devices(control), _devices(candidate)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (mb - ma) / np.sqrt(va + vb)
        freedom = (va + vb) ** 2 / (va**2 / (a - 1) + vb**2 / (b - 1))
        p = 2 * stdtr(freedom, -np.abs(t))
    return np.where((p <= ALPHA) & (a > 1) & (b > 1), np.sign(t), 0).astype(int)


def _devices(sample: Sample) -> tuple[Floats, Floats, Floats]:
    """Mean of devices' means, its variance, and how many devices."""
    there = sample.n > 0
    devices = there.sum(axis=-1)
    means = np.where(there, sample.total / np.maximum(sample.n, 1), 0.0)
    mean = means.sum(axis=-1) / np.maximum(devices, 1)
    squares = np.where(there, (means - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    return mean, squares / np.maximum(devices - 1, 1) / np.maximum(devices, 1), devices


def _signed(z: Floats, limit: Floats | float) -> Verdicts:
    return np.where(np.abs(z) >= limit, np.sign(z), 0).astype(int)


def _kept(verdicts: Verdicts) -> Verdicts:
    """The first verdict stays: the experiment ends with it."""
    first = np.flatnonzero(verdicts)
    if len(first):
        verdicts[first[0] :] = verdicts[first[0]]
    return verdicts


def _last(verdicts: Verdicts) -> Verdicts:
    verdicts[:-1] = 0
    return verdicts


DECIDERS: Final[dict[str, Decide]] = {
    "this hub's gate": this_hub,
    "z per request, every look": z_at_every_look,
    "z per request, fixed horizon": z_at_the_end,
    "t of devices' means, every look": t_at_every_look,
    "t of devices' means, fixed horizon": t_at_the_end,
    "confidence sequence per request": always_valid_by_request,
}
