"""A scenario says what is wrong with it, and where."""

from __future__ import annotations

import pytest

from cloud_hub.errors import Invalid
from cloud_hub.simulate.drawing import true_rates
from cloud_hub.simulate.population import online_shares
from cloud_hub.simulate.scenario import BEGIN, DAY, HOUR, DayAndNight, Shift, parse_scenario
from tests.hub.simulate.scenarios import FLEET, fleet

WRONG = {
    "empty": ("", "expected model, serving and versions"),
    "an unknown key": (f"{FLEET}\nspeed: 3", "speed"),
    "shares that do not sum to 1": (FLEET.replace("share: 0.5", "share: 0.4"), "sum to 1"),
    "nothing serves": (FLEET.replace("'1.0'\ndev", "'3.0'\ndev"), "serving: expected one of"),
    "too many devices": (FLEET.replace("60", "2000000"), "expected 1 to 1,000,000"),
    "too many windows": (FLEET.replace("window: 2h", "window: 1s"), "windows of 1 s"),
    "a change of no cohort": (
        FLEET.replace("released: 1d", "changes: [{at: 1d, cohort: asia, accuracy: -0.1}]"),
        "no cohort ['asia']",
    ),
    "a share above 1": (FLEET.replace("coverage: 1.0", "coverage: 1.5"), "expected a share"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named(case: str) -> None:
    text, expected = WRONG[case]
    with pytest.raises(Invalid) as refused:
        parse_scenario(text)
    assert expected in str(refused.value)


def test_night_is_where_the_device_is() -> None:
    hours = DayAndNight(0.9, 0.2)
    assert [hours.at(h) for h in (0, 6, 12, 21.9, 22)] == [0.2, 0.9, 0.9, 0.9, 0.2]
    online = fleet(online="{share: 0.9, night: 0.2}", cohorts="""
- {name: here, share: 0.5}
- {name: there, share: 0.5, utc_offset: 12}""")  # fmt: skip
    assert online_shares(online, BEGIN).round(2).tolist() == [0.2, 0.9]
    assert online_shares(online, BEGIN + 12 * HOUR).round(2).tolist() == [0.9, 0.2]


def test_changes_come_slowly_at_once_and_by_season() -> None:
    drift = Shift(DAY, over_seconds=DAY, cohort="us", accuracy=-0.2)
    season = Shift(0, every_seconds=4 * DAY, cohort="eu", accuracy=0.1)
    scenario = fleet()
    version = type(scenario.versions[0])("1.0", accuracy=0.9, changes=(drift, season))
    wrong = [true_rates(scenario, version, days * DAY).wrong.tolist() for days in (0, 1.5, 3)]
    assert wrong[0] == pytest.approx([0.1, 0.1])
    assert wrong[1] == pytest.approx([0.1 - 0.1 * 0.5**0.5, 0.2], abs=1e-5)
    assert wrong[2] == pytest.approx([0.2, 0.3], abs=1e-5)
