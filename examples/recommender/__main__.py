"""Which of two recommenders is better? Their rankings are interleaved on a device.

    python -m examples.recommender [SESSIONS]

Every session, a visitor who likes one bottle is shown ten others, picked in turn by both versions.
Visitors are simulated: they look from the top, give up with a chance of 0.15 at every place, and
click on seven of ten bottles that are relevant and on one of ten that are not. The device counts
which version picked what was clicked on; the sign test at the end holds at every look.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud_hub.statistics.paired import SignTest, sign_test
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.experiment_reports import InterleaveReport
from examples.recommender.bottles import Cellar, cellars, training_pairs, versions

SHOWN: Final = 10
PATIENCE, RELEVANT, OTHER = 0.85, 0.7, 0.1


def release_both(folder: Path, cellar: Cellar) -> list[Path]:
    """The folders of both releases."""
    X, y = training_pairs(cellar)
    places = []
    for version, model in versions(cellar).items():
        place = folder / f"bottles-{version}"
        convert(model, X, y, name="bottles", version=version, out=place, variants=("float32",))
        places.append(place)
    return places


def clicks(cellar: Cellar, liked: int, shown: Sequence[int], visitor: random.Random) -> list[int]:
    """What a visitor clicks on."""
    clicked = []
    for bottle in shown:
        chance = RELEVANT if cellar.alike(liked, bottle) else OTHER
        if visitor.random() < chance:
            clicked.append(bottle)
        if visitor.random() > PATIENCE:
            break
    return clicked


def visit(device: EdgeDevice, cellar: Cellar, sessions: int, visitor: random.Random) -> None:
    """So many sessions on a device."""
    for _ in range(sessions):
        liked = visitor.randrange(len(cellar))
        others, pairs = cellar.pairs_with(liked)
        ranking = device.predict_ranking(pairs, candidates=others, length=SHOWN)
        device.feedback(ranking.id, clicks=clicks(cellar, liked, ranking.items, visitor))


@dataclass
class Outcome:
    """Sessions that were mixed of both versions, and how they ended."""

    sessions: int = 0
    wins: Counter[str] = field(default_factory=Counter)
    ties: int = 0


def interleave(control: Path, candidate: Path, cellar: Cellar, sessions: int, seed: int) -> Outcome:
    """What a device tells of ``candidate`` beside ``control``; its reports add up."""
    found = Outcome()
    with EdgeDevice.offline(control, interleave=candidate) as device:
        visit(device, cellar, sessions, random.Random(seed))
        for report in device.reports():
            if isinstance(report, InterleaveReport):
                found.sessions += report.sessions
                found.wins.update(report.wins)
                found.ties += report.ties
    return found


def relevant_share(folder: Path, cellar: Cellar) -> float:
    """Of what one version alone would show, how much is relevant."""
    good = 0
    with EdgeDevice.offline(folder) as device:
        for liked in range(len(cellar)):
            others, pairs = cellar.pairs_with(liked)
            shown = device.predict_ranking(pairs, candidates=others, length=SHOWN).items
            good += sum(cellar.alike(liked, bottle) for bottle in shown)
    return good / (SHOWN * len(cellar))


def verdict(found: Outcome) -> SignTest:
    """The sign test of the sessions that one version won."""
    return sign_test(found.wins["candidate"], found.wins["control"])


def main(sessions: int = 1_000, seed: int = 0) -> int:
    """Train, convert, interleave, print."""
    known, cellar = cellars()
    with tempfile.TemporaryDirectory() as scratch:
        control, candidate = release_both(Path(scratch), known)
        for folder in (control, candidate):
            share = relevant_share(folder, cellar)
            print(f"{folder.name} alone: {share:.1%} of what it shows is relevant")
        for name, other in (("1.0 against itself", control), ("1.0 against 1.1", candidate)):
            found = interleave(control, other, cellar, sessions, seed)
            signs = verdict(found)
            print(
                f"{name}: {found.sessions} sessions, candidate won {signs.wins}, "
                f"control {signs.losses}, ties {found.ties}; candidate's share of the wins "
                f"{signs.share:.1%}, within {signs.low:.1%} to {signs.high:.1%}; "
                f"winner: {signs.winner or 'not decided'}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
