"""Rankings that adapt within a session, and off-policy estimates of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.coldstart.logged_bandits import CAMPAIGNS, found
from benchmarks.coldstart.off_policy_coverage import DEVICES, LISTS, Coverage, coverage, fleet
from benchmarks.coldstart.session_policies import Adapted, Policy, Scored, learned_offline, run
from benchmarks.coldstart.session_simulator import STEPS, Floats, World, session
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.statistics.part import Row
from edge_sdk.contract.serving_terms import Personalisation

WORLDS: Final = 8
SESSIONS: Final = 40
"""Of each world."""

FLEETS: Final = 500
OWN: Final = 2.0
"""Users' own taste, by the common one: goals are of this; the table has others."""

OURS: Final = "ours, as planned by default"
POLICIES: Final = {
    OURS: Personalisation(minimum_units=2),
    "ours, LinUCB": Personalisation(minimum_units=2, exploration="linucb"),
    "ours, without exploration": Personalisation(minimum_units=2, explore=0.0),
    "ours, half by chance": Personalisation(minimum_units=2, explore=0.5),
}
WORLDS_OF: Final = {
    "tastes half-way turn to others": (OWN, True),
    "tastes stay": (OWN, False),
    "tastes differ less, and turn": (1.0, True),
    "all users alike": (0.0, True),
}
NONE: Final = "no adaptation"


def measure(work: Work) -> StudyResult:
    """Measure regret in simulated sessions, coverage of off-policy intervals, and a real log."""
    regrets = {name: _regrets(work, *how) for name, how in WORLDS_OF.items()}
    covered = coverage([fleet(work, i) for i in range(8 if work.quick else FLEETS)])
    folder = _logged(work)
    rows, tables = [*_regret_rows(regrets)], [_regret_table(regrets), _coverage_table(covered)]
    rows += _coverage_rows(covered)
    if folder is not None:
        more, table = _logged_rows(folder)
        rows += more
        tables.append(table)
    return StudyResult(rows, tables)


def _regrets(work: Work, own: float, turns: bool) -> dict[str, Floats]:
    """Regret of each step of each session, [sessions, STEPS], by policy."""
    found: dict[str, list[Floats]] = {}
    for number in range(2 if work.quick else WORLDS):
        world = World.of(work.random(6, 1, number), own, turns=turns)
        policies: dict[str, Policy] = {NONE: Scored(world.scores)}
        policies |= learned_offline(world, work.random(6, 3, number))
        policies |= {name: Adapted(world, terms, number) for name, terms in POLICIES.items()}
        for user in range(5 if work.quick else SESSIONS):
            # The same sessions, and the same dice of users, for all policies.
            requests = session(world, work.random(6, 4, number, user))
            for name, policy in policies.items():
                dice = work.random(6, 5, number, user)
                found.setdefault(name, []).append(run(policy, requests, dice, f"u{user}"))
    return {name: np.array(each) for name, each in found.items()}


def _regret_rows(regrets: dict[str, dict[str, Floats]]) -> Iterator[Row]:
    for name, goal in (("tastes half-way turn to others", 0.6), ("all users alike", None)):
        ours, none = (regrets[name][policy].sum(axis=1) for policy in (OURS, NONE))
        if goal is None:
            lost = (ours.mean() - none.mean()) / STEPS
            yield Row(f"reward a list that {OURS} costs: {name}", "≤ 0.01", f"{lost:.4f}",
                      bool(lost <= 0.01))  # fmt: skip
            continue
        ratio, low, high = _ratio(ours, none)
        yield Row(f"regret over {STEPS} steps by that of no adaptation: {name}", f"≤ {goal}",
                  f"{ratio:.2f} ({low:.2f} to {high:.2f})", bool(ratio <= goal))  # fmt: skip


def _ratio(ours: Floats, none: Floats) -> tuple[float, float, float]:
    """Ratio of means with the bootstrap's 95% over sessions."""
    picks = np.random.default_rng(0).integers(0, len(ours), (1_000, len(ours)))
    ratios = ours[picks].mean(axis=1) / none[picks].mean(axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(ours.mean() / none.mean()), float(low), float(high)


def _regret_table(regrets: dict[str, dict[str, Floats]]) -> str:
    names = list(next(iter(regrets.values())))
    head = ["| regret over 20 steps, by no adaptation | " + " | ".join(regrets) + " |",
            "|---|" + "---:|" * len(regrets)]  # fmt: skip
    for name in names:
        cells = []
        for each in regrets.values():
            base = each[NONE].sum(axis=1).mean()
            cells.append(f"{each[name].sum(axis=1).mean() / base:.2f}" if base > 1e-9 else "–")
        head.append(f"| {name} | " + " | ".join(cells) + " |")
    late = [f"{each[OURS][:, -3:].mean() / max(each[NONE][:, -3:].mean(), 1e-9):.2f}"
            if each[NONE].mean() > 1e-9 else "–" for each in regrets.values()]  # fmt: skip
    head.append("| ours, the last three steps alone | " + " | ".join(late) + " |")
    return "\n".join(head)


def _coverage_rows(covered: list[Coverage]) -> Iterator[Row]:
    for one in covered:
        policy, estimator = one.name
        if estimator != "importance":
            yield Row(f"95% intervals that cover: {policy}, {estimator.replace('_', '-')}",
                      "≥ 93%", f"{one.covered:.1%}", one.covered >= 0.93)  # fmt: skip


def _coverage_table(covered: list[Coverage]) -> str:
    lines = [
        "| estimate | covers | says anything | half width | bias |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.name[0]}, {one.name[1].replace('_', '-')} | {one.covered:.1%} | {one.said:.1%} | "
        f"{one.half:.3f} | {one.bias:+.4f} |"
        for one in covered
    ]
    return "\n".join(lines)


def _logged(work: Work) -> Path | None:
    folders = sorted(work.peers.glob("lib/python*/site-packages/obp/dataset/obd"))
    return folders[0] if folders else None


def _logged_rows(folder: Path) -> tuple[list[Row], str]:
    rows = []
    lines = ["| campaign | bts had | importance | self-normalised | doubly robust |",
             "|---|---:|---:|---:|---:|"]  # fmt: skip
    for campaign in CAMPAIGNS:
        had, estimates = found(folder, campaign)
        cells = [
            f"{100 * v.value:.2f} ({100 * v.low:.2f} to {100 * v.high:.2f})"
            for v in (had, *estimates.values())
        ]
        lines.append(f"| {campaign}, clicks of 100 places | " + " | ".join(cells) + " |")
        robust = estimates["robust"]
        rows.append(
            Row(f"Open Bandit sample, {campaign}: clicks of 100 places of bts, from the random log",
                f"covers {100 * had.value:.2f}",
                f"{100 * robust.value:.2f} ({100 * robust.low:.2f} to {100 * robust.high:.2f})",
                robust.low <= had.value <= robust.high)
        )  # fmt: skip
    return rows, "\n".join(lines)


STUDY: Final = Study(
    "Rankings within a session",
    f"Simulated users with tastes of their own ({WORLDS} worlds, {SESSIONS} sessions of {STEPS} "
    "lists of 8 of 30 candidates; benchmarks/coldstart/session_simulator.py); the fleet's model "
    "knows the average user exactly. Ours is the device's own code. Peers: popularity, and LinUCB "
    "trained offline on sessions with lists drawn by chance. Off-policy: "
    f"{FLEETS} fleets of {DEVICES} devices with {LISTS} lists each, a fifth by chance. And the "
    "logged bandit data inside obp 0.4.1 (Apache-2.0): samples of the Open Bandit Dataset, "
    "10,000 rows.",
    measure,
)
