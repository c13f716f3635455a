"""Pages in a real browser: Debian's Chromium, driven by Playwright.

Pictures are kept in the folder that ``EDGE_SCREENSHOTS`` names, else beside the test's own files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_hub.web.fetch_vendor import VENDOR
from tests.waiting import PATIENCE

SIZES: Final = {"wide": (1280, 900), "narrow": (390, 844)}
BEYOND: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SERIOUS: Final = ("serious", "critical")


class Tab:
    """A page of a browser, with the errors of its console."""

    def __init__(self, context: Any, url: str, folder: Path) -> None:
        self.context, self.url, self.folder = context, url, folder
        self.errors: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{self.page.url}: {message.text}")

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, token: str) -> None:
        self.go("/sign-in")
        self.page.fill("input[name=token]", token)
        self.page.click("main button")
        self.page.wait_for_url(self.url + "/")

    def keep(self, name: str) -> None:
        """Keep a picture of the page: light and dark, wide and narrow.

        A page that does not fit a narrow screen is an error, but for the API's: others made that.
        """
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            for size, (width, height) in SIZES.items():
                self.page.set_viewport_size({"width": width, "height": height})
                beyond = self.page.evaluate(BEYOND)
                if beyond > 0 and not self.page.url.endswith("/docs"):
                    self.errors.append(f"{self.page.url}: {beyond} pixels too wide, {size}")
                path = self.folder / f"{name}-{scheme}-{size}.png"
                self.page.screenshot(path=path, full_page=True)
        width, height = SIZES["wide"]
        self.page.set_viewport_size({"width": width, "height": height})

    def obstacles(self) -> list[str]:
        """What keeps somebody from using the page, as axe finds it in light and dark."""
        found = []
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.evaluate((VENDOR / "axe-core" / "axe.min.js").read_text())
            for violation in self.page.evaluate("axe.run()")["violations"]:
                if violation["impact"] in SERIOUS:
                    nodes = "; ".join(node["html"][:120] for node in violation["nodes"][:3])
                    found.append(f"{self.page.url} {scheme}: {violation['id']}: {nodes}")
        return found


def chromium() -> Iterator[Any]:
    """A browser; a test that lacks one is skipped, and says what is missing."""
    there = shutil.which("chromium") or shutil.which("google-chrome")
    if there is None:
        pytest.skip("a browser is needed: apt-get install chromium")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is needed: pip install playwright"
    )
    with sync_api.sync_playwright() as playwright:
        # CI runs as root, where Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=there, args=["--no-sandbox"])
        yield browser
        browser.close()


def screenshots(own: Path) -> Path:
    """The folder for pictures of pages."""
    folder = Path(os.environ.get("EDGE_SCREENSHOTS", own / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
