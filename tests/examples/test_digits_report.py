"""The report of the demo can be read: names of moments stand beside each other."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("matplotlib")

from examples.digits.demo.report import CHARACTER, mark_rows


def test_names_of_moments_do_not_cover_each_other() -> None:
    names = ["pack", "hub killed", "hub back", "camera changed", "1.1 promoted", "2.0 tried",
             "digits-shadow-1", "concluded", "3.0 on canary", "3.0 rolled back"]  # fmt: skip
    places = [(0.08 + 0.075 * i, name) for i, name in enumerate(names)]
    rows = mark_rows(places)
    for row in set(rows):
        there = [place for place, own in zip(places, rows, strict=True) if own == row]
        for (left, before), (right, after) in pairwise(there):
            assert right - left >= (len(before) + len(after)) * CHARACTER / 2
    assert rows[0] == 0
