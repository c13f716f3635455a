"""Team-draft interleaving: one list of two rankings' items, and whose pick each item is. Pure.

Source: F. Radlinski, M. Kurup, T. Joachims, "How does clickthrough data reflect retrieval
quality?", CIKM 2008, algorithm 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final, Literal

Team = Literal[0, 1]
_BITS: Final = 256


def team_draft(
    rankings: tuple[Sequence[Hashable], Sequence[Hashable]], length: int, coin: Callable[[], bool]
) -> tuple[list[Hashable], list[Team]]:
    """Return at most ``length`` items, and the team of each.

    In every round both teams pick once, each the best of its own ranking that is not there yet;
    ``coin`` says whether team 1 goes first. A team whose ranking is used up picks no more.

    Args:
        rankings: of team 0 and team 1, best first.
        length: items at most.
        coin: one toss a round.
    """
    items: list[Hashable] = []
    teams: list[Team] = []
    picked: set[Hashable] = set()
    remaining = tuple(_unpicked(ranking, picked) for ranking in rankings)
    while len(items) < length:
        order: tuple[Team, Team] = (1, 0) if coin() else (0, 1)
        before = len(items)
        for team in order:
            item = next(remaining[team], _NONE)
            if item is not _NONE and len(items) < length:
                items.append(item)
                teams.append(team)
                picked.add(item)
        if len(items) == before:
            break
    return items, teams


_NONE: Final = object()


def _unpicked(ranking: Sequence[Hashable], picked: set[Hashable]) -> Iterator[Hashable]:
    return (item for item in ranking if item not in picked)


def winner(teams: Sequence[Team]) -> Team | None:
    """Return the team with more of the clicked items; ``None`` for a tie, or no clicks."""
    second = sum(teams)
    first = len(teams) - second
    return None if first == second else 1 if second > first else 0


def coins(seed: str, session: int) -> Callable[[], bool]:
    """Return the coins of a session, one a round; a seed has the same ones on every platform."""
    bits = _bits(seed, session)
    return lambda: next(bits)


def _bits(seed: str, session: int) -> Iterator[bool]:
    block = 0
    while True:
        digest = hashlib.sha256(f"{seed}\0{session}\0{block}".encode()).digest()
        number = int.from_bytes(digest, "big")
        for place in range(_BITS):
            yield bool(number >> place & 1)
        block += 1
