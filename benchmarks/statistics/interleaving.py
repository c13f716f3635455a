"""Interleaving: unbiased where both rankings are the same, and more sensitive than an A/B test.

Then few devices with many sessions each, whose people prefer one ranking or the other.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import TRIED, ab, candidates, evidence_of
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level, wilson
from cloud_hub.experiments.verdict.evidence import Evidence, InterleaveEvidence
from cloud_hub.experiments.verdict.paired import decide_interleave
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.paired import log_sign_evidence
from cloud_hub.statistics.samples import Floats
from cloud_hub.statistics.sequential import log_e_value
from cloud_hub.statistics.shares import PAIRS_TUNED_FOR, share_contrast
from edge_sdk.contract.plan import Outcome
from edge_sdk.experiments.team_draft import coins, team_draft, winner

ITEMS: Final = 30
SHOWN: Final = 10
SESSIONS: Final = 10_000
DEVICES: Final = 100
SPEC: Final = ExperimentSpec(
    "fleet", "interleave", candidate=TRIED.version, soak_seconds=0, minimum_outcomes=1
)
CLICKS: Final = ab(outcomes=(Outcome("clicks", "reward"),))


def run(effort: Effort) -> list[Row]:
    """A/A, then a better ranking by both methods."""
    if effort.quick:
        return _preferences(effort)
    sessions = max(500, round(SESSIONS * effort.share))
    same = [_session(number, 1.0, 1.0) for number in range(sessions)]
    wins, losses = same.count(1), same.count(0)
    low, high = wilson(wins, wins + losses)
    unbiased = low <= 0.5 <= high
    name = f"A/A, {sessions:,} sessions, {wins + losses:,} decided: the candidate's share of wins"
    rows = [
        Row(name, "50% inside", f"{wins / (wins + losses):.2%} ({low:.2%} to {high:.2%})", unbiased)
    ]
    runs = effort.runs_for_level(300, 0.05)
    false = sum(_until(number, 1.0, 1.0, 1_000) is not None for number in range(runs))
    about = "A/A, looked at after every 20 of 1,000 sessions: false winners"
    rows.append(level(about, false, runs, 0.05, claim="9"))
    runs = effort.runs(100)
    for noise in (1.0, 1.6):
        rows += _sensitivity(noise, runs)
    return [*rows, *_preferences(effort)]


SKEWED: Final = "45%, a tenth of them 95%"
PREFER: Final = {
    "spread by 5 points": lambda random, devices: random.beta(50, 50, devices),
    "spread by 15 points": lambda random, devices: random.beta(5, 5, devices),
    "30% or 70%": lambda random, devices: random.choice([0.3, 0.7], devices),
    SKEWED: lambda random, devices: random.choice([0.45, 0.95], devices, p=[0.9, 0.1]),
}
"""Shares of sessions that the candidate wins on the devices of a fleet, one half on average."""


def _preferences(effort: Effort) -> list[Row]:
    """Fleets without a preference on average; and what is found of one, for the price."""
    rows = []
    cells = [(name, devices) for name in PREFER for devices in (6, 10, 30, 100)]
    for name, devices in effort.cells(cells, quick=8):
        runs = effort.runs_for_level(400, 0.05)
        called = [_called(name, devices, 1_000, 0.0, (29, devices, i)) for i in range(runs)]
        ours, all_sessions = (sum(each[k] for each in called) for k in (0, 1))
        what = f"{devices} devices, 1,000 sessions each on average, shares won {name}"
        what = f"A/A, {what}: false winners"
        rows += [
            Row(what, "", exact_rate(ours, runs), claim="9")
            if name is SKEWED
            else level(what, ours, runs, 0.05, claim="9"),
            Row("the same by a sign test of all sessions", "", exact_rate(all_sessions, runs)),
        ]
    return rows if effort.quick else [*rows, *_preferred(effort)]


def _preferred(effort: Effort) -> list[Row]:
    rows = []
    for devices, sessions in ((10, 1_000), (30, 1_000), (100, 20)):
        runs = effort.runs(200)
        found = sum(
            _called("spread by 5 points", devices, sessions, 0.05, (31, devices, i))[0]
            for i in range(runs)
        )
        what = f"{devices} devices, {sessions:,} sessions each, shares spread by 5 points about 55%"
        rows.append(Row(f"{what}: found", "", exact_rate(found, runs), claim="9"))
    return rows


def _called(
    prefer: str, devices: int, sessions: int, gain: float, seed: tuple[int, ...]
) -> tuple[bool, bool]:
    """Whether any of 30 looks calls a winner: by devices' shares, and a sign test of sessions."""
    random = generator(*seed)
    share = np.clip(PREFER[prefer](random, devices) + gain, 0, 1)
    size = random.lognormal(0, 1.0, devices)
    more = random.poisson(sessions * size / size.mean() / 30, (30, devices))
    won = np.cumsum(random.binomial(more, share), axis=0, dtype=np.float64)
    decided = np.cumsum(more, axis=0, dtype=np.float64)
    total, wins = decided.sum(axis=1), won.sum(axis=1)
    enough, sure = total >= 100, -np.log(SPEC.design.alpha)
    shares = log_e_value(share_contrast(won, decided, SPEC.design.alpha), PAIRS_TUNED_FOR) >= sure
    signs = log_sign_evidence(wins, total - wins) >= sure
    return bool(np.any(shares & enough)), bool(np.any(signs & enough))


def _sessions(decided: NDArray[Any] | Floats, won: NDArray[Any] | Floats) -> InterleaveEvidence:
    rows = {
        f"d-{i}": (float(n), float(wins), float(wins))
        for i, (n, wins) in enumerate(zip(decided, won, strict=True))
        if n
    }
    return InterleaveEvidence(rows, 0, int(np.sum(decided)))


def _sensitivity(noise: float, runs: int) -> list[Row]:
    most = 40_000
    took = [_until(number, noise, 0.5, 5_000) for number in range(runs)]
    by_ab = [_ab_until(number, noise, 0.5, most) for number in range(runs)]
    mixed, apart = (float(np.median([n or np.inf for n in sessions])) for sessions in (took, by_ab))
    name = f"candidate ranks with noise 0.5, control with {noise:g}: sessions until it is found"
    shown = [f"{n:,.0f}" if np.isfinite(n) else f"more than {most:,}" for n in (mixed, apart)]
    ratio = f"{apart / mixed:.0f} times fewer" if np.isfinite(apart) else "far fewer"
    return [
        Row(f"{name}, interleaved", "", f"median {shown[0]} ({runs} runs)"),
        Row(
            "the same people, A/B on sessions with a click",
            "",
            f"median {shown[1]}: {ratio} interleaved",
        ),
    ]


def _clicks(random: np.random.Generator, liked: NDArray[Any], items: list[Any]) -> list[int]:
    """Places that are clicked on: looked at less further down, clicked on if liked."""
    looked = random.random(len(items)) < 1 / (1 + 0.3 * np.arange(len(items)))
    wanted = random.random(len(items)) < 1 / (1 + np.exp(2.5 - 1.5 * liked[items]))
    return list(np.flatnonzero(looked & wanted))


def _session(number: int, control: float, candidate: float, run: int = 0) -> int | None:
    """Return the winner of one session: 1 the candidate, 0 the control, ``None`` nobody."""
    random = generator(19, run, number)
    liked = random.normal(size=ITEMS)
    orders = [
        list(np.argsort(-(liked + noise * random.normal(size=ITEMS)), kind="stable"))
        for noise in (control, candidate)
    ]
    items, teams = team_draft((orders[0], orders[1]), SHOWN, coins(f"seed-{run}", number))
    return winner([teams[place] for place in _clicks(random, liked, items)])


def _until(run: int, control: float, candidate: float, most: int) -> int | None:
    """Sessions until the gate calls a winner; ``None`` if not within ``most``."""
    decided, wins = np.zeros(DEVICES), np.zeros(DEVICES)
    for number in range(most):
        won = _session(number, control, candidate, run + 1)
        decided[number % DEVICES] += won is not None
        wins[number % DEVICES] += won == 1
        if number % 20 == 19:
            evidence = _sessions(decided, wins)
            if decide_interleave(SPEC, Evidence(interleave=evidence)).action == "conclude":
                return number + 1
    return None


def _ab_until(run: int, control: float, candidate: float, most: int) -> int | None:
    """The same people, each shown one ranking only, by the A/B gate on clicks a session."""
    random = generator(23, run)
    block, devices = 500, 100
    inside = candidates(CLICKS, [f"device-{i}" for i in range(devices)], f"salt-{run}")
    n, total = np.zeros(devices), np.zeros(devices)
    for done in range(block, most + 1, block):
        device = random.integers(0, devices, block)
        noise = np.where(inside[device], candidate, control)
        liked = random.normal(size=(block, ITEMS))
        order = np.argsort(-(liked + noise[:, None] * random.normal(size=(block, ITEMS))), axis=1)
        shown = np.take_along_axis(liked, order[:, :SHOWN], axis=1)
        looked = random.random(shown.shape) < 1 / (1 + 0.3 * np.arange(SHOWN))
        clicked = looked & (random.random(shown.shape) < 1 / (1 + np.exp(2.5 - 1.5 * shown)))
        any_click = clicked.any(axis=1)
        n += np.bincount(device, minlength=devices)
        total += np.bincount(device, any_click, minlength=devices)
        if decide(CLICKS, evidence_of("reward", n, total, inside)).winner == CANDIDATE:
            return done
    return None


PART = Part(
    "Interleaving",
    f"People like {ITEMS} items more or less; a ranking knows that with noise. {SHOWN} are shown, "
    "looked at less further down, clicked on if liked. Rankings are mixed by the device's own team "
    "draft with its own coins; the hub's gate judges the sessions, in turn of "
    f"{DEVICES} devices. Then each device has a share of its own, sessions are as many as chance "
    "makes them (log-normal), and the gate looks 30 times.",
    run,
    quick=True,
)
