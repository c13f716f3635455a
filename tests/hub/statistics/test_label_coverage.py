"""Labels that are missing: settling times, and bounds that hold whatever is hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.statistics.label_coverage import (
    AGES,
    HOUR,
    UNKNOWN,
    WindowLabels,
    age_bin,
    complete,
    early_age,
    hidden,
    settling_time,
    within,
    worst_case,
)

DAY = 24 * HOUR


def window(ended: float, answers: int = 1_000, **by_age: int) -> WindowLabels:
    """A window whose labels came at ages by bin: ``bin0=10``."""
    labelled = np.array([[float(by_age.get(f"bin{i}", 0)) for i in range(AGES)]])
    counts = np.array([float(answers)])
    return WindowLabels(np.array([float(ended)]), counts, labelled, labelled.sum(axis=1))


def windows(*each: WindowLabels) -> WindowLabels:
    columns = zip(*((w.ended, w.answers, w.labelled, w.correct) for w in each), strict=True)
    return WindowLabels(*(np.concatenate(column) for column in columns))


NONE = window(0).only(np.array([False]))


@pytest.mark.parametrize(
    ("hours", "bin_"), [(-5, 0), (0, 0), (0.74, 0), (0.75, 1), (2.9, 2), (3, 3), (24, 6), (1e6, 10)]
)
def test_ages_double_from_bin_to_bin(hours: float, bin_: int) -> None:
    assert age_bin(hours * HOUR) == bin_


def test_labels_within_an_age_are_those_of_whole_bins() -> None:
    labelled = window(0, bin0=1, bin1=2, bin2=4)
    assert within(labelled, HOUR).tolist() == [1]
    assert within(labelled, 2 * HOUR).tolist() == [3]
    assert within(labelled, 0.0).tolist() == [0]


def test_nothing_is_complete_without_answers() -> None:
    assert not complete(NONE)
    assert not complete(window(0, answers=0, bin0=5))
    assert not complete(window(0, answers=100, bin0=98))
    assert complete(windows(window(0, 100, bin0=98), window(0, 100, bin0=100)))


def test_windows_settle_when_it_was_said_or_when_labels_came() -> None:
    assert settling_time(NONE, None, now=10 * DAY) == UNKNOWN
    assert settling_time(NONE, 60.0, now=10 * DAY) == 60.0
    quick = windows(window(0, bin0=700), window(9.9 * DAY, bin0=10))
    assert settling_time(quick, None, now=10 * DAY) == 0.75 * HOUR
    # The same before any window is old enough to tell.
    assert settling_time(quick, None, now=0.5 * DAY) == UNKNOWN
    slow = window(0, bin0=300, bin3=300)
    assert settling_time(slow, None, now=10 * DAY) == 6 * HOUR


def test_labels_that_still_come_lengthen_what_was_said() -> None:
    late = window(0, bin0=600, bin7=100)  # after two to four days
    assert settling_time(late, float(DAY), now=1.5 * DAY) == DAY
    assert settling_time(late, float(DAY), now=30 * DAY) == 4 * DAY
    assert settling_time(late, 0.0, now=30 * DAY) == 4 * DAY


def test_few_labels_tell_nothing_of_delays() -> None:
    assert settling_time(window(0, bin0=3, bin6=3), float(DAY), now=30 * DAY) == DAY


def test_early_labels_are_about_half() -> None:
    found = window(0, bin0=100, bin1=350, bin4=450)
    assert early_age(found, float(DAY)) == 1.5 * HOUR
    assert early_age(found, 0.5 * HOUR) == 0.0
    assert early_age(NONE, float(DAY)) == 0.75 * HOUR


def test_with_nothing_assumed_what_has_no_label_was_right_or_wrong() -> None:
    assert worst_case(63, 70, 100) == (0.63, 0.93)
    assert worst_case(0, 0, 0) == (0.0, 1.0)
    # More labels than answers: the report of those has not come.
    assert worst_case(9, 10, 5) == (0.9, 0.9)


SHARES = st.floats(0.01, 1.0)


@given(SHARES, SHARES, SHARES, SHARES)
def test_labels_that_one_arm_lacks_hide_no_more_than_the_bound(
    accuracy: float, common: float, of_right: float, of_wrong: float
) -> None:
    """Whatever share of right and wrong answers loses its label, or has one that it would not."""
    full = common
    labelled = common * (accuracy * of_right + (1 - accuracy) * of_wrong)
    seen = common * accuracy * of_right / labelled
    bound = hidden(labelled - full, labelled - full, labelled, seen)
    assert seen - accuracy <= bound.loss + 1e-9
    assert accuracy - seen <= bound.gain + 1e-9
    # The other way round: the candidate is labelled fully, and the control's share is the lower.
    excess = hidden(full - labelled, full - labelled, full, accuracy)
    assert accuracy - seen <= excess.loss + 1e-9
    assert seen - accuracy <= excess.gain + 1e-9


@given(st.floats(-1, 0), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_what_is_hidden_is_a_share(low: float, high: float, share: float, seen: float) -> None:
    found = hidden(low, high, share, seen)
    assert 0 <= found.loss <= seen + 1e-9
    assert 0 <= found.gain <= 1 - seen + 1e-9


def test_equal_shares_hide_nothing() -> None:
    assert hidden(0.0, 0.0, 0.7, 0.9).loss == pytest.approx(0.0, abs=1e-12)
