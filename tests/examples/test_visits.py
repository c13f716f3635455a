"""``python -m examples.visits``: trained on a replayed log, served from sessions."""

from __future__ import annotations

import re

import pytest

from examples.visits import main


def test_who_looks_at_dear_things_is_expected_to_buy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(400) == 0
    dear, cheap = capsys.readouterr().out.splitlines()
    assert re.match(r"dear: \{'clicks_5m': 3, 'usual_price': 88\..*buys: 1,", dear)
    assert re.match(r"cheap: \{'clicks_5m': 3, 'usual_price': 3\.0.*buys: 0,", cheap)
