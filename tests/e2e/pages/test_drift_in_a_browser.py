"""From drift to a candidate in a real browser: real devices, a real hub, a training of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Tab, screenshots
from tests.operation.by_pages import write_policy
from tests.operation.world import MODEL, POLICY, SHIFT, OperatedFleet, made_releases
from tests.servers import HubProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOME = f"/models/{MODEL}"
DEVICES = 3


@pytest.fixture
def world(browser: Any, tmp_path: Path) -> Iterator[tuple[HubProcess, Tab, OperatedFleet]]:
    # Trainings run as nobody, and read nothing of the hub but what they are given.
    tmp_path.chmod(0o755)
    with contextlib.closing(HubProcess(tmp_path)) as hub:
        hub.admin.publish(made_releases(tmp_path)["1.0"], hub.key)
        context = browser.new_context()
        tab = Tab(context, hub.url, screenshots(tmp_path))
        tab.sign_in((hub.data / "admin.token").read_text().strip())
        with contextlib.closing(OperatedFleet(hub, tmp_path)) as fleet:
            yield hub, tab, fleet
        context.close()


def test_a_world_that_moves_is_seen_as_an_alarm_a_run_its_gate_and_a_candidate(
    world: tuple[HubProcess, Tab, OperatedFleet],
) -> None:
    hub, tab, fleet = world
    page = tab.page

    # A mistake is told with its line, and what was typed is still there.
    tab.go(f"{HOME}/policy/edit")
    page.fill("#policy", POLICY.replace("steps:", "stepps:"))
    page.click("text=Show what changes")
    page.locator("#problems", has_text="stepps").wait_for()
    assert "stepps: [0.5, 1.0]" in page.input_value("#policy")
    assert tab.obstacles() == []
    tab.errors.clear()  # the browser notes the answer 422
    write_policy(tab, HOME, POLICY, lambda step: tab.keep(step.replace(" ", "-")))
    assert tab.obstacles() == []
    assert hub.admin.get(f"models/{MODEL}/policy")["text"] == POLICY

    hub.admin.post(f"models/{MODEL}/promote", version="1.0", reason="first")
    fleet.join([hub.token(MODEL) for _ in range(DEVICES)])
    fleet.turn()
    tab.go(f"{HOME}/monitoring")
    assert page.locator("text=Acknowledge…").count() == 0

    # The page that shows the alarm is not loaded again.
    fleet.shift = SHIFT

    def drifted() -> bool:
        alarms = hub.admin.get(f"models/{MODEL}/monitor/alarms")
        return any(alarm["kind"] == "drift" for alarm in alarms)

    fleet.until(drifted, "an alarm")
    page.locator("[aria-label='Acknowledge Drift of x1']").wait_for()
    tab.keep("drift")
    assert tab.obstacles() == []

    def run() -> Any:
        runs = hub.admin.get(f"models/{MODEL}/runs")
        assert not runs or runs[-1]["status"] not in ("failed", "rejected", "held"), runs
        return runs and runs[-1]["status"] not in ("waiting", "training")

    fleet.until(run, "a run that has ended")
    tab.go(f"{HOME}/triggers")
    page.locator("text=inputs-moved").first.wait_for()
    tab.go(f"{HOME}/runs/1")
    page.locator("th", has_text="On fresh rows").wait_for()
    page.locator(".badge", has_text="may go on").first.wait_for()
    page.locator("text=Validation of its data").wait_for()
    tab.keep("run")
    assert tab.obstacles() == []

    page.click("dt:has-text('Experiment') + dd a")
    page.locator("text=of 2.0 against 1.0").wait_for()
    tab.keep("candidate")
    assert tab.obstacles() == []
    assert tab.errors == []
