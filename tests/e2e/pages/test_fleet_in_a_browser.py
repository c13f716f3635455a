"""The fleet in a real browser, on a real hub: sign in, look, let a device join, revoke it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_sdk.hub.client import HubClient
from tests.browser import Tab, screenshots
from tests.conftest import Publish
from tests.servers import HubProcess
from tests.simulated_device import join
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def tab(browser: Any, hub: HubProcess, tmp_path: Path) -> Any:
    context = browser.new_context()
    yield Tab(context, hub.url, screenshots(tmp_path))
    context.close()


def test_a_person_lets_a_device_join_and_revokes_it(
    hub: HubProcess, publish: Publish, tab: Tab
) -> None:
    publish("demo")
    page = tab.page
    tab.go("/fleet")
    page.wait_for_url("**/sign-in?next=/fleet")
    tab.keep("sign-in")
    assert tab.obstacles() == []
    tab.sign_in((hub.data / "admin.token").read_text().strip())

    # A token for a device, by the page alone.
    page.click("text=People & tokens")
    page.click("text=New enrolment token…")
    dialog = page.locator("dialog[open]")
    dialog.locator("input[name=uses]").fill("2")
    dialog.locator("text=Make it").click()
    token = page.locator("#made").inner_text()
    client = HubClient(hub.url)
    device = join(client, token, "demo", {"region": "north", "line": "<i>4</i>"}).device

    # The page of the fleet finds it, and what it shows is fresh without being loaded again.
    tab.go("/fleet?q=region=north")
    page.locator(f"text={device}").wait_for()
    second = join(HubClient(hub.url), token, "demo", {"region": "north"}).device
    page.locator(f"text={second}").wait_for()
    tab.keep("fleet")
    assert tab.obstacles() == []

    # By the keyboard alone: to the device, the question, the reason, the answer.
    page.locator(f"text={device}").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/devices/{device}")
    tab.keep("device")
    assert tab.obstacles() == []
    page.locator("text=Revoke…").focus()
    page.keyboard.press("Enter")
    dialog.locator("text=what it sends does not count").wait_for()
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    page.locator("text=Revoke…").click()
    dialog.locator("input[name=reason]:focus").wait_for()
    page.keyboard.type("stolen from the van")
    assert tab.obstacles() == []
    tab.page.screenshot(path=tab.folder / "revoke.png")
    page.keyboard.press("Enter")
    page.locator(f"text={device} is revoked.").wait_for()
    assert page.locator("text=stolen from the van").count() >= 1
    (revoked,) = [d for d in hub.admin.get("devices") if d["device"] == device]
    assert revoked["standing"] == "revoked"

    for name, path in {
        "overview": "/",
        "audit": "/audit?action=revoke",
        "people": "/people",
        "api": "/docs",
    }.items():
        tab.go(path)
        if name == "api":
            page.locator(".opblock").first.wait_for()
        tab.keep(name)
        # What others made is theirs to mend.
        assert name == "api" or tab.obstacles() == []
    assert tab.errors == []

    page.click("text=Sign out")
    page.locator("text=You are signed out.").wait_for()
    tab.go("/audit")
    page.wait_for_url("**/sign-in?next=/audit")


def test_a_page_says_when_its_hub_is_gone(hub: HubProcess, tab: Tab) -> None:
    tab.sign_in((hub.data / "admin.token").read_text().strip())
    hub.kill()
    wait_for(lambda: tab.page.locator("#away").is_visible() or tab.page.wait_for_timeout(200), "it")
    assert "out of date" in tab.page.locator("#away").inner_text()
