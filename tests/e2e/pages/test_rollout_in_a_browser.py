"""A rollout in a real browser, on a real hub: promote, watch a canary abort, go back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.contract.messages import FeedbackReport, Message, Upload, WindowReport
from edge_sdk.contract.plan import Plan, assign
from edge_sdk.contract.window import Window
from edge_sdk.hub.client import HubClient
from tests.browser import Tab, screenshots
from tests.conftest import Publish
from tests.servers import HubProcess
from tests.simulated_device import join
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POLICY = b"experiment: {soak: 0s, minimum_labels: 100, minimum_devices: 3, label_settle: 0s}"
NUMBERS = itertools.count(1)


@pytest.fixture
def tab(browser: Any, hub: HubProcess, tmp_path: Path) -> Any:
    context = browser.new_context()
    yield Tab(context, hub.url, screenshots(tmp_path))
    context.close()


class Remote:
    """A device over HTTP that follows the newest plan and reports labelled windows."""

    def __init__(self, hub: HubProcess, token: str, region: str) -> None:
        self.hub, self.client = hub, HubClient(hub.url)
        self.attributes = {"region": region}
        self.name = join(self.client, token, "demo", self.attributes).device

    def turn(self, plan: Plan, digests: Mapping[str, str], right: Mapping[str, float]) -> None:
        """Follow a plan and report; ``right`` is the share of right answers by version."""
        given = assign(plan, self.name, self.attributes, entered=True)
        version, n = given.release.version, 400
        state = {"demo": ReportedState(version, plan.serial)}
        self.client.checkin(CheckIn(state, self.attributes))
        begin = int(time.time()) + 1
        window = Window("demo", version, begin, begin + 1, given.experiment, given.arm)
        good = round(n * right[version])
        bodies = {
            "window": WindowReport(window, digests[version], {"model": n}),
            "feedback": FeedbackReport(window, n, good, n, good),
        }
        messages = [
            Message("boot", next(NUMBERS), kind, to_plain(body)) for kind, body in bodies.items()
        ]
        self.client.upload(Upload(tuple(messages)))


def test_a_person_promotes_watches_a_canary_abort_and_goes_back(
    hub: HubProcess, publish: Publish, tab: Tab
) -> None:
    page = tab.page
    releases = [publish("demo")]
    releases += [publish("demo", version, promote=False, seed=3) for version in ("1.1", "1.2")]
    digests = {r.manifest.version: r.profile_digest for r in releases}
    hub.admin.put("models/demo/policy", POLICY)
    token = hub.token("demo", uses=12)
    devices = [Remote(hub, token, ("north", "south")[i % 2]) for i in range(12)]
    right = {"1.0": 0.95, "1.1": 0.95, "1.2": 0.3}

    def everybody() -> None:
        plan = from_plain(Plan, hub.admin.get("models/demo/plan"))
        for device in devices:
            device.turn(plan, digests, right)

    everybody()
    tab.sign_in((hub.data / "admin.token").read_text().strip())
    tab.go("/models/demo")
    dialog = page.locator("dialog[open]")

    # The question counts the devices; the answer is audited with the reason.
    page.click("[aria-label='Promote 1.1']")
    dialog.locator("text=12 take part").wait_for()
    assert "from 1.0 (12)" in dialog.inner_text()
    assert tab.obstacles() == []
    page.screenshot(path=tab.folder / "promote.png")
    dialog.locator("input[name=reason]").fill("better on fresh rows")
    dialog.locator("text=Promote 1.1").last.click()
    page.locator("text=1.1 serves; plan 2 goes out to devices.").wait_for()
    everybody()

    # A canary of a version that is wrong: the page that shows it is not loaded again.
    page.click("[aria-label='Canary of 1.2']")
    dialog.locator("text=devices try it").wait_for()
    page.screenshot(path=tab.folder / "canary-question.png")
    dialog.locator("text=Start the canary").click()
    page.wait_for_url("**/experiments/demo-canary-1")
    tab.keep("experiment-running")
    assert tab.obstacles() == []

    def aborted() -> bool:
        everybody()
        return hub.admin.get("experiments/demo-canary-1")["status"] == "aborted"

    wait_for(aborted, "the end of the canary", every=0.2)
    page.locator(".head .badge, .note.bad").filter(has_text="canary of 1.2").wait_for()
    tab.go("/models/demo/experiments/demo-canary-1")
    page.locator(".head .badge", has_text="aborted").wait_for()
    assert page.locator("text=Stop…").count() == 0
    tab.keep("experiment-aborted")
    assert tab.obstacles() == []

    # And the way back, on the page alone.
    tab.go("/models/demo")
    page.click("text=Roll back…")
    dialog.locator("text=1.0 serves everybody in place of 1.1").wait_for()
    dialog.locator("input[name=reason]").fill("to be sure")
    page.keyboard.press("Enter")
    page.locator("text=1.0 serves; plan 5 goes out to devices.").wait_for()
    tab.keep("model")
    assert tab.obstacles() == []
    reasons = [entry["detail"].get("reason") for entry in hub.admin.get("audit", model="demo")]
    assert {"better on fresh rows", "to be sure"} <= set(reasons)

    others = ("versions/1.1", "monitoring", "triggers", "runs", "packs", "experiments")
    for path in (*others, "compare?before=1.0&after=1.1", "triggers/dry-run"):
        tab.go(f"/models/demo/{path}")
        tab.keep(path.partition("?")[0].replace("/", "-"))
        assert tab.obstacles() == []
    assert tab.errors == []
