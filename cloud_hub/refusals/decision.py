"""What follows where devices refuse the release that serves. Pure.

Devices say that a release failed on them, and a device can lie. Whoever holds one secret is one
voter: devices that joined with the same token of many uses have one vote together, which refuses if
more than half of those that tried the release do. A release goes back only if most voters refuse
it, and would so without any single one of them.

*Most* is shown in one of two ways: all who can be reached have tried it, and it is counted; or so
many have, one after the other, that chance is ruled out (:func:`log_share_evidence`), and nobody
waits for the rest of a large fleet to find out.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from cloud_hub.statistics.failures import log_share_evidence

if TYPE_CHECKING:
    from cloud_hub.policy.schema.refusals import RefusalPolicy

BLAMED: Final = frozenset({"verify", "probe", "activate"})
"""Steps at which the release itself is to blame. What ends a download is the network's, the hub's
or the keys' trouble; what ``stage``, ``load`` and ``check`` find is the disk's."""

REASONS: Final = 5
REASON_CHARACTERS: Final = 200
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")

Action = Literal["rest", "alarm", "go_back"]


@dataclass(frozen=True)
class LastWord:
    """What a device last said of a release: ``refused`` with its reason, or it runs there."""

    refused: bool
    reason: str = ""


@dataclass(frozen=True)
class Refusals:
    """How a release fares: ``refused`` of ``tried`` devices, those that ``wait`` can be reached and
    have not tried it; the same of voters. ``reasons`` are the most frequent, with the number of
    devices that gave each.
    """

    refused: int
    tried: int
    waiting: int
    voters_refused: int
    voters_tried: int
    voters_waiting: int
    reasons: tuple[tuple[str, int], ...]


def blamed(outcome: str, step: str | None) -> bool | None:
    """Say what a device's event says of its release.

    Args:
        outcome: of the event.
        step: at which an update failed; ``None`` if it names none.

    Returns:
        True if the release failed there, False if it runs, ``None`` if the event says neither.
    """
    if outcome == "activated":
        return False
    if outcome == "rolled_back" or (outcome == "failed" and step in BLAMED):
        return True
    return None


def counted(
    steps: Mapping[str, LastWord], voters: Mapping[str, str], reachable: Collection[str]
) -> Refusals:
    """Count devices and voters.

    Args:
        steps: what devices said of the release, by name.
        voters: who vouched for each device that takes part; others have no say.
        reachable: devices that are not lost.
    """
    by_voter: defaultdict[str, list[bool]] = defaultdict(list)
    for device, step in steps.items():
        if device in voters:
            by_voter[voters[device]].append(step.refused)
    waiting = {device for device in reachable if device in voters and device not in steps}
    refused = [step for device, step in steps.items() if step.refused and device in voters]
    return Refusals(
        refused=len(refused),
        tried=sum(map(len, by_voter.values())),
        waiting=len(waiting),
        voters_refused=sum(2 * sum(said) > len(said) for said in by_voter.values()),
        voters_tried=len(by_voter),
        # A voter some of whose devices have tried it has said something.
        voters_waiting=len({voters[device] for device in waiting} - by_voter.keys()),
        reasons=_reasons(step.reason for step in refused),
    )


def decide(seen: Refusals, policy: RefusalPolicy, *, can_go_back: bool) -> Action:
    """Decide what follows.

    Args:
        seen: how the release fares.
        policy: of the model.
        can_go_back: another version served before, this one never, and no experiment runs.
    """
    if can_go_back and policy.go_back and most_refuse(seen, policy):
        return "go_back"
    return "alarm" if is_alarming(seen, policy) else "rest"


def is_alarming(seen: Refusals, policy: RefusalPolicy) -> bool:
    """Return whether people should know: of any fleet two devices, of a fleet of one that one."""
    least = min(2, seen.tried + seen.waiting)
    share = seen.refused / seen.tried if seen.tried else 0.0
    return 0 < least <= seen.refused and share >= policy.alarm_share


def most_refuse(seen: Refusals, policy: RefusalPolicy) -> bool:
    """Return whether most voters refuse the release, whichever one of them is left out."""
    refused, tried = seen.voters_refused, seen.voters_tried
    if refused < policy.minimum_devices:
        return False
    # Leaving out one that refuses is the hardest: what holds then holds without any other.
    return all(
        _surely(r, t, policy) or (seen.voters_waiting == 0 and r > policy.share * t)
        for r, t in ((refused, tried), (refused - 1, tried - 1))
    )


def _surely(refused: int, tried: int, policy: RefusalPolicy) -> bool:
    if not tried:
        return False
    return log_share_evidence(refused, tried, policy.share) >= math.log(1 / policy.alpha)


def _reasons(texts: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """The most frequent reasons; those that differ in their numbers only are one."""
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for text in texts:
        key = _NUMBER.sub("#", text)
        counts[key] += 1
        shown.setdefault(key, text[:REASON_CHARACTERS])
    return tuple((shown[key], count) for key, count in counts.most_common(REASONS))
