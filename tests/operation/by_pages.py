"""A fleet operated by the hub's pages alone, in a real browser: each step is a picture.

Releases come from the command line, since the key that signs them is on no page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_hub.web.wording import signal_name
from tests.browser import Tab
from tests.operation.steps import KeptSteps
from tests.operation.world import DEVICES, MODEL, POLICY, SHIFT, OperatedFleet, made_releases
from tests.servers import HubProcess

HOME = f"/models/{MODEL}"


class PageSteps:
    """A tab in which somebody works, with a picture of each step."""

    def __init__(self, tab: Tab, steps: KeptSteps) -> None:
        self.tab, self.page, self._steps = tab, tab.page, steps

    def keep(self, what: str, path: str = "") -> None:
        """Keep a picture of a page, or of the one that is open."""
        if path:
            self.tab.go(path)
        file = self._steps.next(what)
        self.page.screenshot(path=file.with_name(f"{file.name}.png"), full_page=not self.asks)
        text = self.page.locator("dialog[open]" if self.asks else "main").first.inner_text()
        file.with_name(f"{file.name}.txt").write_text(f"{self.page.url}\n\n{text}\n")

    @property
    def asks(self) -> bool:
        """Whether a question is open."""
        return bool(self.page.locator("dialog[open]").count())

    def answer(self, what: str, question: str, button: str, said: str, **fields: str) -> None:
        """Open a question, keep it, fill it in, confirm it, and keep what came of it.

        Args:
            what: step.
            question: selector of what opens it.
            button: its word.
            said: text that the page has afterwards.
            **fields: of the form.
        """
        self.page.click(question)
        dialog = self.page.locator("dialog[open]")
        dialog.locator(f"button:has-text('{button}')").wait_for()
        for name, value in fields.items():
            dialog.locator(f"[name={name}]").fill(value)
        self.keep(f"{what}: the question")
        dialog.locator(f"button:has-text('{button}')").click()
        self.page.locator(f"text={said}").first.wait_for()
        self.keep(what)


def operate(hub: HubProcess, folder: Path, tab: Tab, steps: KeptSteps) -> None:
    """Operate a fleet from its first device to its retrained model."""
    for release in made_releases(folder).values():
        hub.admin.publish(release, hub.key)
    on, fleet = PageSteps(tab, steps), OperatedFleet(hub, folder)
    with contextlib.closing(fleet):
        on.keep("sign in", "/sign-in")
        tab.sign_in((hub.data / "admin.token").read_text().strip())
        on.keep("a hub before its first device", "/")
        _roll_out(on, fleet)
        name = _abort_and_go_back(on, fleet, hub)
        _look_after(on, fleet, name)
        _retrain(on, fleet, hub)
        on.keep("audit", f"/audit?model={MODEL}")
        on.keep("overview in the end", "/")
    steps.write_index("A fleet operated by pages alone")
    assert tab.errors == []


def write_policy(
    tab: Tab, home: str, text: str, seen: Callable[[str], None] = lambda step: None
) -> None:
    """Write a policy on the page of a model, and apply it.

    Args:
        tab: somebody with the role publisher.
        home: path of the model's page.
        text: YAML.
        seen: is told of each step while its page is open.
    """
    tab.go(f"{home}/policy/edit")
    tab.page.fill("#policy", text)
    seen("a policy is written")
    tab.page.click("text=Show what changes")
    tab.page.locator("button:has-text('Apply')").wait_for()
    seen("what it changes")
    tab.page.click("button:has-text('Apply')")
    tab.page.locator("text=is in force").first.wait_for()
    seen("the policy is in force")


def _roll_out(on: PageSteps, fleet: OperatedFleet) -> None:
    on.keep("how to publish", f"/publishing?model={MODEL}")
    write_policy(on.tab, HOME, POLICY, on.keep)
    on.keep("versions before the first plan", HOME)
    on.answer(
        "promote 1.0", "[aria-label='Promote 1.0']", "Promote 1.0", "1.0 serves; plan 1",
        reason="the first one",
    )  # fmt: skip
    tokens = []
    for _ in range(DEVICES):
        on.tab.go("/people")
        on.page.click("text=New enrolment token…")
        dialog = on.page.locator("dialog[open]")
        dialog.locator("text=Make it").click()
        tokens.append(on.page.locator("#made").inner_text())
    on.keep("a token for a device")
    fleet.join(tokens)
    fleet.turn()
    on.keep("the fleet", "/fleet")
    on.keep("a search", "/fleet?q=hall%3DA")
    on.answer("a group", "text=Save as a group…", "Save", "is the group Hall A", name="Hall A")
    on.tab.go(HOME)
    on.answer(
        "roll 1.1 out", "[aria-label='Promote 1.1']", "Promote 1.1", "1.1 serves; plan 2",
        reason="better on fresh rows",
    )  # fmt: skip
    fleet.turn()
    on.keep("1.1 serves", HOME)


def _abort_and_go_back(on: PageSteps, fleet: OperatedFleet, hub: HubProcess) -> str:
    on.answer("a canary of 1.2", "[aria-label='Canary of 1.2']", "Start the canary", "canary of")
    trial = f"{MODEL}-canary-1"
    fleet.turn()
    on.keep("the canary runs", f"{HOME}/experiments/{trial}")

    def over() -> bool:
        return bool(hub.admin.get(f"experiments/{trial}")["status"] == "aborted")

    fleet.until(over, "the end of the canary")
    on.keep("the canary is aborted", f"{HOME}/experiments/{trial}")
    on.tab.go(HOME)
    on.answer("roll back", "text=Roll back…", "Roll back", "1.0 serves; plan", reason="to be sure")
    fleet.turn()
    on.keep("1.0 serves again", HOME)
    return str(hub.admin.get("devices")[0]["device"])


def _look_after(on: PageSteps, fleet: OperatedFleet, name: str) -> None:
    on.tab.go(f"/devices/{name}")
    on.answer("ask for a log", "text=Ask for its log…", "Ask for the log of", "asked for its log")
    on.answer("ask for a sync", "text=Sync now…", "Sync", "is asked to sync")
    fleet.turn()
    on.keep("the log", f"/devices/{name}")
    on.answer(
        "revoke", "text=Revoke…", "Revoke", f"{name} is revoked.", reason="stolen from the van"
    )


def _retrain(on: PageSteps, fleet: OperatedFleet, hub: HubProcess) -> None:
    def read(what: str) -> Any:
        return hub.admin.get(f"models/{MODEL}/{what}")

    fleet.shift = SHIFT
    fleet.until(lambda: read("monitor/alarms"), "an alarm")
    on.keep("drift", f"{HOME}/monitoring")
    signal = read("monitor/alarms")[0]["signal"]
    named = f"[aria-label='Acknowledge {signal_name(signal)}']"
    on.answer("acknowledge", named, "Acknowledge", "acknowledged")
    on.keep("the trigger", f"{HOME}/triggers")
    fleet.until(lambda: read("runs"), "a run")
    on.keep("the run is there", f"{HOME}/runs")

    def serves() -> bool:
        return bool(read("plan")["serving"]["version"] == "2.0")

    fleet.until(serves, "2.0 for everybody")
    on.keep("what was trained", f"{HOME}/runs/1")
    on.keep("its experiment", f"{HOME}/experiments/{MODEL}-canary-2")
    fleet.turn()
    on.keep("2.0 serves", HOME)
    on.keep("packs", f"{HOME}/packs")
    on.keep("the fleet in the end", "/fleet")
