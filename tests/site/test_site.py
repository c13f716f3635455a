"""The site is built without a warning, and whoever asks it finds the page, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handbook import elsewhere
from tests.browser import chromium
from tests.structure import ROOT
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.site, pytest.mark.slow]

QUESTIONS = {
    "rotate keys": "KEYS.html",
    "quantize": "VARIANTS.html",
    "offline": "start/DEVICE_ENGINEER.html",
    "canary aborted": "guides/CANDIDATE.html",
    "Raspberry Pi": "RASPBERRY_PI.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the site needs MkDocs: make site")
    if built := os.environ.get("EDGE_SITE"):  # by make site, just before
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    # Strict: any warning ends it.
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


def test_every_page_of_the_repository_is_a_page_of_the_site(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")]
    pages += [Path(place) for place in elsewhere.PAGES.values() if place.endswith(".md")]
    built = [str(page.with_suffix(".html")).replace("README", "index") for page in pages]
    assert [page for page in built if not (site / page).exists()] == []
    whole = (site / "reference/EDGE_HUB.html").read_text()
    assert "edge-hub experiments plan" in whole
    assert ":class:" not in (site / "reference/MESSAGES.html").read_text()


@pytest.mark.browser
def test_a_question_leads_to_the_page_that_answers_it_from_files_alone(
    site: Path, browser: Any
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.set_default_timeout(PATIENCE * 1_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    for question, answer in QUESTIONS.items():
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("/")
        page.locator("input.md-search__input").press_sequentially(question)
        # The first answer: it changes while one types.
        page.locator(f".md-search-result__item:first-child a[href*='/{answer}']").first.wait_for()
    page.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
    assert failed == []
