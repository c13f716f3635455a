"""The delivery example answers from the pack, by the model with both kinds of features, and else
by the default."""

from __future__ import annotations

import re

import pytest

from examples.delivery.__main__ import Kitchen, main


def test_the_example_answers_from_the_pack_the_model_and_the_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main() == 0
    listed, addressed, new = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"in the list: \d+ minutes \(from the pack, computed \d+ s ago\)", listed)
    assert re.fullmatch(r"for an address: \d+ minutes \(from the model\)", addressed)
    assert new == "opened today: 40 minutes (from the default)"


def test_a_kitchen_forgets_what_is_older_than_ten_minutes() -> None:
    kitchen = Kitchen()
    for second in (0, 300, 599):
        kitchen.order(float(second))
    assert (kitchen.orders(600.0), kitchen.orders(601.0), kitchen.orders(10_000.0)) == (3, 2, 0)
