"""A storm of requests: whatever anybody sends, the hub answers, and goes on working.

``python -m tests.campaigns.fuzz --requests 20000 --seed 1 [--postgres]``

Requests go to every route as nobody, as a device and as an administrator: three in four know the
formats (valid bodies with a few values replaced, paths and queries with odd parts), one in four is
what schemathesis makes of the OpenAPI document. In between the loop ticks. Passes if no answer was
a 5xx, no error left the application, no part of the loop failed, and afterwards a device that does
nothing wrong is served.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.campaigns.fuzzing.bodies import sources
from tests.campaigns.fuzzing.hub_under_fire import DAY, UnderFire, hub_under_fire
from tests.campaigns.fuzzing.in_process import Answered, Asked
from tests.campaigns.fuzzing.requests_of import ROLES, of_schema, operations, own
from tests.postgres import running_cluster

ROUND: Final = 200
"""Requests between two ticks; after each round what the storm ended is begun again."""

SHOWN: Final = 5
"""Failing requests that are printed whole."""


@dataclass
class Storm:
    """What became of the requests.

    Attributes:
        statuses: number of answers by role and class of status.
        failures: requests that ended in a 5xx, with the answer.
        loop_errors: errors of parts of the loop, by part.
        good_device: what a device that does nothing wrong was not given.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[tuple[Asked, Answered]] = field(default_factory=list)
    loop_errors: dict[str, str] = field(default_factory=dict)
    good_device: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Return whether nothing failed."""
        return not (self.failures or self.loop_errors or self.good_device)


def storm(fire: UnderFire, requests: int, seed_: int) -> Storm:
    """Ask ``requests`` times; requests of one seed are the same in every run.

    Args:
        fire: the hub.
        requests: number of them.
        seed_: of the choice of requests.
    """
    came = Storm()
    done = 0
    schema = of_schema(fire.document)
    while done < requests:
        fire.restore()
        count = min(ROUND, requests - done)
        for strategy, part in ((_own(fire), count - count // 4), (schema, count // 4)):
            _each(strategy, part, seed_ + done, lambda asked: _note(came, asked, fire.ask(asked)))
        done += count
        fire.tick()
    for ahead in (0.0, 3_700.0, 3 * DAY):  # windows end, and are rolled up
        fire.tick(ahead)
    fire.restore()
    came.good_device = fire.good_device()
    came.loop_errors = fire.loop_errors
    return came


def _own(fire: UnderFire) -> st.SearchStrategy[Asked]:
    bodies = sources(fire.hub, fire.experiment)
    return own(operations(fire.document), fire.values(), bodies)


def _each(
    strategy: st.SearchStrategy[Asked], count: int, seed_: int, do: Callable[[Asked], None]
) -> None:
    """Hand ``count`` examples to ``do``; failures are noted and not raised, so none is shrunk."""

    @seed(seed_)
    @settings(
        max_examples=max(1, count), database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=False,
    )  # fmt: skip
    @given(strategy)
    def ask(asked: Asked) -> None:
        do(asked)

    ask()


def _note(came: Storm, asked: Asked, answered: Answered) -> None:
    came.statuses[asked.role, answered.status // 100] += 1
    if answered.status >= 500 or answered.error:
        came.failures.append((asked, answered))


def table(came: Storm) -> str:
    """Return the answers by role and class of status."""
    lines = [f"{'role':15}" + "".join(f"{c}xx".rjust(8) for c in (2, 3, 4, 5))]
    lines += [
        f"{role:15}" + "".join(f"{came.statuses[role, c]:8}" for c in (2, 3, 4, 5))
        for role in ROLES
    ]
    return "\n".join(lines)


def report(came: Storm) -> str:
    """Return the table, and each kind of failure once with the request that made it."""
    lines = [table(came)]
    kinds: dict[str, tuple[Asked, Answered]] = {}
    for asked, answered in came.failures:
        kinds.setdefault(_kind(answered), (asked, answered))
    for kind, (asked, answered) in list(kinds.items())[:SHOWN]:
        shown = asked.reproduction()
        lines += ["", kind, shown if len(shown) < 4_000 else f"{shown[:4_000]}...", answered.error]
    lines += [f"loop: {part}: {error}" for part, error in came.loop_errors.items()]
    lines += [f"a good device: {wrong}" for wrong in came.good_device]
    lines.append("PASSED" if came.passed else f"FAILED: {len(kinds)} kinds of 5xx")
    return "\n".join(lines)


def _kind(answered: Answered) -> str:
    return answered.error.strip().rpartition("\n")[2][:120] or repr(answered.body[:120])


def main(words: list[str] | None = None) -> int:
    """Run the campaign; 0 if it passed."""
    parser = argparse.ArgumentParser(prog="tests.campaigns.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args(words)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")  # of strategies that are long to print
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = None
        if options.postgres:
            clusters = running_cluster()
            database = next(clusters).database()
            stack.callback(lambda: next(clusters, None))
        fire = stack.enter_context(hub_under_fire(folder, database))
        came = storm(fire, options.requests, options.seed)
    print(report(came))
    seconds = time.monotonic() - begun
    print(f"{sum(came.statuses.values())} requests, seed {options.seed}, {seconds:.0f} s")
    return 0 if came.passed else 1


if __name__ == "__main__":
    sys.exit(main())
