"""The benchmark of personalisation, shortened: what it says of writers of digits holds at all.

The bounds are far from what was measured, and far from what chance gives: twelve writers answer two
hundred test digits each, so a mean accuracy has a standard error of about a point.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.coldstart import alike, cost, harm, returning
from benchmarks.coldstart.__main__ import main, studies
from benchmarks.coldstart.lines import Line, line_without
from benchmarks.coldstart.new_people import FLEET, OURS, Curves, personalised
from benchmarks.coldstart.people import people
from benchmarks.coldstart.picture import curves
from benchmarks.coldstart.report import Finished, page
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import COUNTS
from benchmarks.statistics.part import Row
from edge_sdk.contract.personal.prior import PersonalPrior

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("coldstart"), quick=True)


@pytest.fixture(scope="module")
def line(work: Work) -> Line:
    whom = people(work)
    return line_without(work, whom, whom.held_out[0])


def row(result: StudyResult, words: str) -> Row:
    (found,) = [row for row in result.rows if words in row.measured]
    return found


def test_strangers_are_answered_better_after_few_labels_and_no_worse_before_any(
    work: Work, line: Line
) -> None:
    found = Curves()
    personalised(work, line, line.group, found)
    ours, fleet = found.means()[OURS], found.means()[FLEET]
    gain = dict(zip(COUNTS, (a - b for a, b in zip(ours, fleet, strict=True)), strict=True))
    assert gain[0] == 0
    assert min(gain.values()) > -0.03
    assert gain[10] > 0.05
    assert gain[50] > 0.15


def test_the_fit_says_that_writers_differ_and_that_digits_dealt_at_random_do_not(
    work: Work, line: Line
) -> None:
    assert line.prior.helps
    result = alike.measure(work)
    assert row(result, "priors that say that units differ").result == "0 of 1"
    assert row(result, "answered by the release alone").met
    assert row(result, "random: mean gain").met


def test_labels_of_which_a_third_is_wrong_leave_few_sessions_worse_and_a_liar_is_alone(
    work: Work,
) -> None:
    result = harm.measure(work)
    for noise in (" 0%", " 30%"):
        share = row(result, f"{noise} of them wrong").result
        # Of 24 sessions: what is measured with more of them is 1 to 4%.
        assert float(share.split("%")[0]) <= 25, share
    assert row(result, "answers for others").met
    assert row(result, "the prior").met


def test_a_unit_that_is_another_one_is_no_worse_off_than_with_the_fleet_for_long(
    work: Work,
) -> None:
    result = returning.measure(work)
    apart = row(result, "each under an own name: after 10 labels, less the fleet's")
    assert float(apart.result.split()[0]) > 5
    together = row(result, "under one name, in turns of 25: after 10 labels, less the fleet's")
    assert float(together.result.split()[0]) > -5


def test_units_of_a_device_of_a_fleet_are_on_its_disk(work: Work, line: Line) -> None:
    with cost.at_a_hub(work.folder, line) as device:
        for i in range(4):
            x, label = line.trained.X[i], int(line.trained.y[i])
            device.feedback(device.predict(x, unit="one").id, label=label)
        assert device.predict(line.trained.X[0], unit="one").personalised
        assert not device.predict(line.trained.X[0], unit="another").personalised


def test_a_prior_that_was_written_is_read_as_it_was(line: Line) -> None:
    assert PersonalPrior.from_bytes(line.prior.to_bytes()) == line.prior


def test_the_page_keeps_what_was_not_measured_anew() -> None:
    result = StudyResult([Row("a", "≥ 1", "2", True), Row("b", "≤ 1", "2", False)])
    kinds = {name: Study(name, f"About {name}.", lambda work: result) for name in ("one", "two")}
    first = page(kinds, {name: Finished(result, 1.0, 17) for name in kinds})
    assert "2 of 4 goals are met" in first
    again = page(kinds, {"two": Finished(StudyResult([]), 1.0, 17)}, first)
    assert "1 of 2 goals are met" in again
    assert "About one." in again


def test_a_picture_has_a_line_for_each_method() -> None:
    picture = curves(COUNTS, {"with": [0.5] * 5, "a < b": [0.6] * 5}, "writers")
    assert picture.count("<polyline") == 2
    assert "a &lt; b" in picture


def test_without_its_peers_the_benchmark_says_how_to_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--peers", str(tmp_path)]) == 1
    assert "make coldstart" in capsys.readouterr().err
    assert next(iter(studies())) == "new-people"
