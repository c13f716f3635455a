"""One variant is chosen, each other one gets its reason, and noise in time decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.certification.budget import BudgetLimits
from converters.certification.choice import NOISE, choose
from converters.certification.settling import settled
from edge_sdk.contract.certificate import VariantResult


def result(name, size=1_000, row=10.0, off=0.0, batch=None, reason=""):
    batch = row / 10 if batch is None else batch
    return VariantResult(
        name, size, size, 0.0, off, off, 0.9, row, batch, 1.0, not reason, reason
    )  # fmt: skip


PLAIN = result("float32")
CASES = {
    "a smaller one that is as fast": ([result("int8", 300)], "int8", "1,000 bytes, 3.3 times int8"),
    "one that is not close enough": (
        [result("int8", 300, reason="differs by 0.2 (allowed 0.05)")],
        "float32",
        "its answers are not shown to be close enough to the model's: differs by 0.2",
    ),
    "one that saves too little": ([result("int8", 950)], "float32", "950 bytes, 95% of float32's"),
    "one that is slower alone": ([result("int8", 300, 14.0)], "float32", "one row takes 14.0 µs"),
    "one that is slower in a batch": (
        [result("int8", 300, batch=1.4)], "float32", "a row of a batch takes 1.4 µs, 1.40 times",
    ),
    "a larger one": (
        [result("half", 500), result("int8", 300)], "int8", "larger than int8: 500 bytes, 50% of",
    ),
    "one as small and slower": (
        [result("slow", 300, 10.8), result("int8", 300)], "int8", "as small as int8, and slower",
    ),
    "one as small and as fast whose answers differ more": (
        [result("rough", 300, 9.8, off=0.1), result("int8", 301, off=0.01)],
        "int8",
        "farther from the model's: 0.00% of the labels differ, numbers by up to 0.1 against",
    ),
    "one that is the same in everything": (
        [result("int8", 300), result("twin", 300)], "int8", "as good as int8, which is tried",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_said_of(case):
    others, chosen, words = CASES[case]
    results = {v.name: v for v in (PLAIN, *others)}
    choice = choose(results)
    assert choice.name == chosen
    assert set(choice.not_chosen) == set(results) - {chosen}
    assert words in "; ".join([choice.because, *choice.not_chosen.values()])


def test_a_limit_of_the_budget_that_is_broken_is_said_with_both_figures():
    results = {v.name: v for v in (PLAIN, result("int8", 300, 60.0))}
    choice = choose(results, BudgetLimits.parse("row<=50us size<=2KB"))
    assert choice.name == "float32"
    assert choice.because.startswith("the only file that keeps the budget row ≤ 50 µs, size ≤ 2 KB")
    assert choice.not_chosen["int8"] == "it is over the budget: row is 60 µs, allowed 50 µs"


TRUE_TIMES = (4.0, 10.0, 20.0)
NOISY = st.floats(NOISE**-0.5, NOISE**0.5)


@st.composite
def measured_twice(draw):
    """The same variants with times that are off by as much as two measurements may differ."""
    names = ("float32", "a", "b", "c", "d")
    true = [
        result(
            name,
            1_000 if name == "float32" else draw(st.sampled_from([300, 301, 500, 950])),
            10.0 if name == "float32" else draw(st.sampled_from(TRUE_TIMES)),
            draw(st.sampled_from([0.0, 0.01])),
        )
        for name in names
    ]
    off = [(draw(NOISY), draw(NOISY)) for _ in true]
    pairs = zip(true, off, strict=True)
    noisy = [
        replace(v, row_us=v.row_us * x, batch_row_us=v.batch_row_us * y) for v, (x, y) in pairs
    ]
    return {v.name: v for v in true}, {v.name: v for v in noisy}


@given(measured_twice())
def test_times_that_differ_by_noise_alone_give_the_same_choice_for_the_same_reasons(pair):
    one, other = (choose(results) for results in pair)
    assert one.name == other.name
    kinds = [{n: why.split(":")[0] for n, why in c.not_chosen.items()} for c in (one, other)]
    assert kinds[0] == kinds[1]


@dataclass(frozen=True)
class Measured:
    row_us: float
    batch_row_us: float
    p99_us: float = 20.0
    load_ms: float = 1.0


def measuring(*runs):
    """Returns one run after the other; what was asked for is kept."""
    left, asked = list(runs), []

    def measure(names):
        asked.append(tuple(names))
        return left.pop(0)

    return measure, asked


def test_one_slow_moment_neither_refuses_nor_chooses_a_variant():
    results = {v.name: v for v in (PLAIN, result("half", 500), result("int8", 300, 90.0))}
    calm = {
        "float32": Measured(10.0, 1.0), "half": Measured(10.0, 1.0), "int8": Measured(9.0, 1.0),
    }  # fmt: skip
    measure, asked = measuring(calm, calm)
    assert choose(results).name == "half"
    assert choose(settled(results, measure)).name == "int8"
    assert asked == [("float32", "half", "int8")] * 2
    slow = {name: Measured(50.0, 5.0) for name in calm}  # all of them: the machine
    measure, _ = measuring(calm, slow)
    assert settled(results, measure)["int8"].row_us == pytest.approx(10.0)


def test_a_choice_that_is_not_slower_by_a_fluke_is_found_out():
    results = {v.name: v for v in (PLAIN, result("int8", 300, 9.0))}
    run = {"float32": Measured(10.0, 1.0), "int8": Measured(14.0, 1.0)}
    measure, _ = measuring(run, run)
    assert choose(settled(results, measure)).name == "float32"


def test_two_that_are_as_small_and_about_as_fast_are_both_measured_again():
    results = {v.name: v for v in (PLAIN, result("slow", 300, 9.0), result("int8", 301, 9.5, 0.01))}
    run = {"float32": Measured(10.0, 1.0), "slow": Measured(10.0, 1.0), "int8": Measured(9.0, 1.0)}
    measure, asked = measuring(run, run)
    assert choose(results).name == "slow"
    assert choose(settled(results, measure)).name == "int8"
    assert asked == [("float32", "slow", "int8")] * 2


SETTLED_ALREADY = {
    "nothing is smaller": ((PLAIN, result("int8", 990)), None),
    "nothing else is accepted": ((PLAIN, result("int8", 300, reason="flips")), None),
    "the budget limits no time": ((PLAIN, result("int8", 300, 90.0)), "size<=500B"),
    "one that is as small is much slower, and the budget limits no time": (
        (PLAIN, result("slow", 300, 90.0), result("int8", 301)), "size<=500B"
    ),
    "what is slow is larger than the choice": (
        (PLAIN, result("big", 900, 500.0), result("int8", 300)), "size<=1KB difference<=1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTLED_ALREADY)
def test_nothing_is_measured_again_where(case):
    variants, budget = SETTLED_ALREADY[case]
    results = {v.name: v for v in variants}
    limits = BudgetLimits.parse(budget) if budget else None
    measure, asked = measuring()
    assert settled(results, measure, limits) == results
    assert asked == []


def test_a_budget_of_time_is_held_against_the_median_of_three():
    limits = BudgetLimits.parse("p99<=30us")
    results = {
        v.name: replace(v, p99_us=p99) for v, p99 in ((PLAIN, 20.0), (result("int8", 300), 300.0))
    }
    calm = {"float32": Measured(10.0, 1.0), "int8": Measured(10.0, 1.0)}
    measure, asked = measuring(calm, calm)
    assert choose(settled(results, measure, limits), limits).name == "int8"
    assert len(asked) == 2
