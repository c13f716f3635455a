"""The moment at which time alone can change what a gate decides. Pure.

A gate is a function of what devices reported, of what people declared, and of the time. Where none
of the first two changed, another look before that moment decides the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cloud_hub.statistics.label_coverage import AGES, HOUR, UNKNOWN, YOUNGEST

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import Evidence
    from cloud_hub.experiments.verdict.spec import ExperimentSpec

LONGEST: Final = 300.0
"""Seconds after which it is looked at anyhow, for what decides nothing and is shown: how long a
step has lasted, how long it may take, which devices nobody hears of any more."""


def next_look(spec: ExperimentSpec, evidence: Evidence, now: float) -> float:
    """Return until when the same evidence leads to the same decision, Unix seconds.

    Args:
        spec: the declared experiment.
        evidence: of the look that was taken at ``now``.
        now: Unix seconds.
    """
    moments = [
        now + spec.soak_seconds - evidence.soaked,
        now + spec.no_data_seconds - evidence.soaked,
        now + spec.no_data_seconds - evidence.silent,
        *_settling(spec, evidence, now),
    ]
    return min([now + LONGEST, *(moment for moment in moments if moment > now)])


def _settling(spec: ExperimentSpec, evidence: Evidence, now: float) -> Iterator[float]:
    """The next moments at which windows settle, or are old enough to tell how late labels come."""
    if evidence.settling is None or not evidence.settling.seconds:
        return  # no label is waited for
    stated = spec.labels.settle_seconds
    least = YOUNGEST if stated is None else max(stated, YOUNGEST)
    ages = [UNKNOWN, YOUNGEST if stated is None else stated]
    ages += [least * 2.0**i for i in range(AGES + 2)]
    # Windows are told apart by the whole hour in which they ended.
    yield from (now + HOUR - (now - age) % HOUR for age in ages)
