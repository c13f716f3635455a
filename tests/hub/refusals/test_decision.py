"""Whether refusals are an alarm, or most of a fleet: counted over voters, and never by one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.policy.schema.refusals import RefusalPolicy
from cloud_hub.refusals.decision import Action, LastWord, blamed, counted, decide
from cloud_hub.refusals.periods import Period, period_of
from edge_sdk.contract.errors import ContractError

POLICY = RefusalPolicy()


def action(
    steps: Mapping[str, bool],
    voters: Mapping[str, str] | None = None,
    *,
    waiting: int = 0,
    can_go_back: bool = True,
    policy: RefusalPolicy = POLICY,
) -> Action:
    """The action for devices that refused (true) or run a release; all are their own voters."""
    vouched = {name: name for name in steps} | {f"w{i}": f"w{i}" for i in range(waiting)}
    seen = counted(
        {name: LastWord(refused, "golden vectors differ") for name, refused in steps.items()},
        {**vouched, **(voters or {})},
        vouched,
    )
    return decide(seen, policy, can_go_back=can_go_back)


def fleet(refused: int, ran: int) -> dict[str, bool]:
    return {f"d{i}": i < refused for i in range(refused + ran)}


# refused, ran, waiting -> what follows
CASES: dict[str, tuple[int, int, int, Action]] = {
    "nobody refuses": (0, 10, 0, "rest"),
    "one of twenty": (1, 19, 0, "rest"),
    "one of one": (1, 0, 0, "alarm"),
    "the first of a large fleet": (1, 0, 999, "rest"),
    "two of ten": (2, 8, 0, "alarm"),
    "two of a thousand": (2, 998, 0, "rest"),
    "two of two": (2, 0, 0, "alarm"),
    "three of three, and all had it": (3, 0, 0, "go_back"),
    "three of three, and others are still to try": (3, 0, 5, "alarm"),
    "half of ten": (5, 5, 0, "alarm"),
    "most of eleven": (7, 4, 0, "go_back"),
    "most of three, but not without one": (2, 1, 0, "alarm"),
    "eleven of a large fleet": (11, 0, 989, "alarm"),
    "twelve of a large fleet": (12, 0, 989, "go_back"),
    "six of ten of a large fleet": (6, 4, 990, "alarm"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_from_refusals(case: str) -> None:
    refused, ran, waiting, expected = CASES[case]
    assert action(fleet(refused, ran), waiting=waiting) == expected


def test_where_nothing_may_go_back_it_is_an_alarm() -> None:
    assert action(fleet(20, 0), can_go_back=False) == "alarm"
    assert action(fleet(20, 0), policy=RefusalPolicy(go_back=False)) == "alarm"


@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 40))
def test_devices_of_one_token_never_take_a_release_back_whatever_they_say(
    liars: int, ran: int, waiting: int
) -> None:
    said = fleet(0, ran) | {f"liar{i}": True for i in range(liars)}
    one_token = {f"liar{i}": "token:1" for i in range(liars)}
    assert action(said, one_token, waiting=waiting) != "go_back"


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_no_single_voter_changes_whether_a_release_goes_back_on_its_own(
    refused: int, ran: int, waiting: int
) -> None:
    if action(fleet(refused, ran), waiting=waiting) != "go_back":
        return
    assert refused > ran
    # The same without any one that refuses is still most of those who tried it.
    assert refused - 1 > ran


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_more_refusals_never_take_a_decision_back(refused: int, ran: int, waiting: int) -> None:
    order = ("rest", "alarm", "go_back")
    less = order.index(action(fleet(refused, ran + 1), waiting=waiting))
    assert order.index(action(fleet(refused + 1, ran), waiting=waiting)) >= less


def test_devices_that_take_no_part_have_no_say() -> None:
    steps = {f"gone{i}": LastWord(True) for i in range(50)} | {"d": LastWord(False)}
    seen = counted(steps, {"d": "d"}, {"d"})
    assert (seen.refused, seen.tried, seen.voters_tried) == (0, 1, 1)


def test_reasons_that_differ_in_numbers_are_one_and_come_with_their_devices() -> None:
    texts = ["p99 of 12.5 ms, above 10 ms", "p99 of 14 ms, above 10 ms", "no output 'label'"]
    steps = {f"d{i}": LastWord(True, text) for i, text in enumerate(texts)}
    seen = counted(steps, {name: name for name in steps}, steps)
    assert seen.reasons == (("p99 of 12.5 ms, above 10 ms", 2), ("no output 'label'", 1))


EVENTS = {
    ("activated", None): False,
    ("failed", "probe"): True,
    ("failed", "activate"): True,
    ("failed", "verify"): True,
    ("rolled_back", None): True,
    ("failed", "download"): None,
    ("failed", "stage"): None,
    ("failed", "check"): None,
    ("failed", "load"): None,
    ("fell_back", "download"): None,
    ("waiting", None): None,
}


@pytest.mark.parametrize(("outcome", "step"), EVENTS)
def test_trouble_with_network_hub_or_disk_never_condemns_a_release(
    outcome: str, step: str | None
) -> None:
    assert blamed(outcome, step) is EVENTS[outcome, step]


PERIODS = {
    "the first": ([("1.0", 1e6)], Period("1.0", 1e6 - 300, False)),
    "after others": ([("2.0", 2e6), ("1.0", 1e6)], Period("2.0", 2e6 - 300, False)),
    "with another pack since": (
        [("2.0", 3e6), ("2.0", 2e6), ("1.0", 1e6)], Period("2.0", 2e6 - 300, False),
    ),
    "that served before": (
        [("1.0", 3e6), ("2.0", 2e6), ("1.0", 1e6)], Period("1.0", 3e6 - 300, True),
    ),
    "that comes back at once": (
        [("1.0", 1e6 + 20), ("2.0", 1e6 + 10), ("1.0", 1e6)], Period("1.0", 1e6 + 10, True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PERIODS)
def test_events_count_from_when_a_version_began_to_serve(case: str) -> None:
    serving, expected = PERIODS[case]
    assert period_of(serving) == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"share": 0.2}, "share: expected most of them"),
        ({"minimum_devices": 1}, "no single device takes anything back"),
        ({"alpha": 0.0}, "alpha: expected above 0"),
    ],
)
def test_a_policy_by_which_few_decide_is_refused(values: dict[str, float], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        RefusalPolicy(**values)  # type: ignore[arg-type]
