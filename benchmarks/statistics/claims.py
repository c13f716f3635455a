"""Claims that the campaign measures: what must hold where fleets are few and unlike.

``benchmarks/STATISTICS.md`` opens with them. A row of a part names the claim that it measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Claim:
    """One claim: its number, what it is about, under which conditions, and what must hold."""

    number: str
    where: str
    conditions: str
    must: str


CLAIMS: Final = (
    Claim(
        "1",
        "verdicts by device",
        "A/A, control/candidate devices 99/1, 98/2, 95/5, 9/1, 2/2, 1/1; correlation .01, .1, .3; "
        "traffic equal and lognormal(1.5)",
        "≤ 5% false winners; worse by 2× the margin promoted ≤ 2.5%; with a week of own past, at "
        "95/5 and 9/1, failing 3 times as often stopped ≥ 90%",
    ),
    Claim(
        "2",
        "verdicts by device",
        "heavy tails on balanced arms, one device with 30% of the traffic",
        "≤ 5% false winners",
    ),
    Claim(
        "3",
        "late labels",
        "candidate 4 points worse, its wrong answers labelled half as often; delay that depends on "
        "the outcome",
        "promoted ≤ 2.5%, a healthy one aborted ≤ 1%; healthy arms with equal labelling promoted "
        "≥ 80%",
    ),
    Claim(
        "4",
        "`unit: key`",
        "outcomes correlated within a key, 1 to 50 devices",
        "≤ 5% false winners, ≤ 1% guardrail trips",
    ),
    Claim("5", "sample ratio by key", "daily restarts of devices", "≤ 0.1% false mismatches"),
    Claim(
        "6",
        "guardrails",
        "bad hours, a few dirty devices, 1 of 10 devices on the candidate",
        "≤ 1% trips in every cell",
    ),
    Claim("7", "`domain:*` signals", "devices that differ", "≤ 5%"),
    Claim("8", "drift on one device", "serially correlated rows, φ = .9, .99", "≤ 5%"),
    Claim("9", "interleaving", "many sessions a device", "≤ 5%"),
    Claim(
        "10",
        "performance trigger over a rolling lookback",
        "accuracy at its limit, a year of looks",
        "a mean time to a false alarm as stated",
    ),
    Claim(
        "11",
        "offline gate",
        "100 rows, candidate 2 points worse; the same holdout asked 50 times",
        "a test within its stated error",
    ),
    Claim(
        "12",
        "certificate",
        "flips and scores",
        "one-sided exact bounds; “≤ 0.1%” accepted only if the rows can show it",
    ),
    Claim("13", "cascade", "the certified target", "exceeded in ≤ 5%"),
    Claim(
        "14",
        "blind spots",
        "100 devices, 200 rows a window; 10% of devices shifted by 2 sd; a category from 1% to 5%",
        "each found ≥ 80% within three windows, false alarms ≤ 5%",
    ),
    Claim("15", "regressors", "rows 1 to 6 on the absolute and the squared error", "the same"),
    Claim(
        "16",
        "fairness live",
        "a declared group gets worse on the candidate only, .10 → .25, 300 labels of it",
        "found ≥ 80%, its guardrail's share of 1% on healthy ones",
    ),
    Claim(
        "P1",
        "power: default canary",
        "healthy, 1,000 devices, 5,000 labels a device and step, correlation .1, own past",
        "promoted ≥ 90%",
    ),
    Claim(
        "P2",
        "power: five devices",
        "500 labels each before and after; failing 3 times as often, and healthy",
        "stopped within 150 labels ≥ 90%; aborted ≤ 1%",
    ),
    Claim(
        "P3",
        "power: devices alike",
        "10×, 3×, 2× failures",
        "stopped within 60, 500, 1,600 requests in the median",
    ),
    Claim(
        "P4",
        "latency",
        "difference of quantiles at any look, by device",
        "≤ 5% false differences",
    ),
    Claim(
        "P5",
        "effects by cohort",
        "eight cohorts, none or two of them worse",
        "≤ 5% of those told are false, at any look; shrunk ones nearer to the truth",
    ),
    Claim(
        "P6",
        "`edge-hub experiments plan`",
        "what this fleet can find, from its recorded variance",
        "what is promised is found",
    ),
)
