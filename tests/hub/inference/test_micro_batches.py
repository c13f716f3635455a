"""Rows that wait at the same time are answered by one run; a lone one waits for nobody."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.inference.micro_batches import INLINE_SECONDS, MOST_ROWS, MicroBatches
from edge_sdk.contract.fleet import CloudReply, CloudRequest


class Doubling:
    """Answers a row with its double; refuses negative ones, and fails at all with a 13."""

    def __init__(self, *, at_hand: bool = True) -> None:
        self.runs: list[int] = []
        self.threads: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self._at_hand = at_hand

    def predict_together(self, requests: Sequence[CloudRequest]) -> list[CloudReply | HubFault]:
        self.go.wait()
        self.runs.append(len(requests))
        self.threads.append(threading.current_thread().name)
        if any(request.row == (13,) for request in requests):
            raise RuntimeError("thirteen")
        return [self._answer(request) for request in requests]

    def is_at_hand(self, requests: Sequence[CloudRequest]) -> bool:
        return self._at_hand

    def _answer(self, request: CloudRequest) -> CloudReply | HubFault:
        (x,) = request.row
        assert isinstance(x, int)
        return CloudReply("1.0", value=2.0 * x) if x >= 0 else Invalid(f"row: got {x}")


def row(x: int, model: str = "demo") -> CloudRequest:
    return CloudRequest(model, "1.0", (x,))


def asked(
    answering: Doubling,
    *turns: Sequence[CloudRequest],
    clock: Callable[[], float] = lambda: 0.0,
) -> list[CloudReply | BaseException]:
    """Ask for the rows of each turn at once, one turn after the other."""

    async def run() -> list[CloudReply | BaseException]:
        batches = MicroBatches(answering, clock)
        answers: list[CloudReply | BaseException] = []
        for requests in turns:
            calls = (batches.ask(request) for request in requests)
            answers += await asyncio.gather(*calls, return_exceptions=True)
        batches.close()
        return answers

    return asyncio.run(run())


def values(answers: Sequence[CloudReply | BaseException]) -> list[float | None]:
    return [a.value if isinstance(a, CloudReply) else None for a in answers]


def test_rows_that_wait_together_are_answered_by_one_run_each_with_its_own_answer() -> None:
    answering = Doubling()
    assert values(asked(answering, [row(x) for x in range(10)])) == [2.0 * x for x in range(10)]
    assert answering.runs == [10]


def test_a_lone_row_is_a_run_of_its_own() -> None:
    answering = Doubling()
    assert values(asked(answering, [row(1)], [row(2)])) == [2.0, 4.0]
    assert answering.runs == [1, 1]


def test_no_run_has_more_rows_than_is_allowed_and_all_are_answered() -> None:
    answering = Doubling()
    numbers = range(100, 100 + 2 * MOST_ROWS + 3)
    answers = asked(answering, [row(x) for x in numbers])
    assert values(answers) == [2.0 * x for x in numbers]
    assert answering.runs == [MOST_ROWS, MOST_ROWS, 3]


def test_what_comes_while_a_run_is_under_way_has_the_next_one() -> None:
    answering = Doubling()

    async def run() -> list[CloudReply]:
        batches = MicroBatches(answering)
        answering.go.clear()
        first = asyncio.ensure_future(batches.ask(row(0)))
        while not batches._running:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        later = [asyncio.ensure_future(batches.ask(row(x))) for x in (1, 2, 3)]
        await asyncio.sleep(0)
        answering.go.set()
        return [await future for future in (first, *later)]

    assert values(asyncio.run(run())) == [0.0, 2.0, 4.0, 6.0]
    assert answering.runs == [1, 3]


def test_a_row_that_is_refused_takes_nothing_from_the_others() -> None:
    good, bad, other = asked(Doubling(), [row(1), row(-1), row(2)])
    assert values([good, other]) == [2.0, 4.0]
    assert isinstance(bad, Invalid)


def test_a_run_that_breaks_fails_all_that_waited_for_it_and_nobody_after() -> None:
    *broken, good = asked(Doubling(), [row(13), row(1)], [row(2)])
    assert [str(error) for error in broken] == ["thirteen", "thirteen"]
    assert values([good]) == [4.0]


def test_rows_of_different_models_are_different_runs() -> None:
    answering = Doubling()
    asked(answering, [row(1, "a"), row(2, "b"), row(3, "a")])
    assert sorted(answering.runs) == [1, 2]


def test_whoever_hangs_up_costs_the_others_nothing() -> None:
    answering = Doubling()

    async def run() -> list[CloudReply | BaseException]:
        batches = MicroBatches(answering)
        waiting = [asyncio.ensure_future(batches.ask(row(x))) for x in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, gone, last = asyncio.run(run())
    assert values([first, last]) == [0.0, 4.0]
    assert isinstance(gone, asyncio.CancelledError)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock by which every run takes so many seconds."""
    moments: Iterator[float] = itertools.count(0.0, seconds)
    return lambda: next(moments)


@pytest.mark.parametrize(
    ("seconds", "at_hand", "inline"),
    [
        (INLINE_SECONDS / 2, True, True),
        (INLINE_SECONDS / 2, False, False),
        (2 * INLINE_SECONDS, True, False),
    ],
)
def test_the_event_loop_runs_what_is_quick_and_in_memory_and_threads_the_rest(
    seconds: float, at_hand: bool, inline: bool
) -> None:
    answering = Doubling(at_hand=at_hand)
    asked(answering, [row(1)], [row(2)], clock=ticking(seconds))
    first, second = (name.startswith("cascade") for name in answering.threads)
    assert first  # nothing is known of a model's speed before its first run
    assert second is not inline
