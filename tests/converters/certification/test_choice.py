"""One variant is chosen, each other one gets its reason, and noise in time decides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.certification.budget import BudgetLimits
from converters.certification.choice import NOISE, choose
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
        "its answers are not close enough to the model's: differs by 0.2",
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
    assert choice.because.startswith("the only file that keeps the budget row<=50us size<=2000B")
    assert choice.not_chosen["int8"] == "it is over the budget: row is 60 us, allowed 50 us"


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
