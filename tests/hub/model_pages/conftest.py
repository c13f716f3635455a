"""A browser without a screen: pages of a hub in this process, as somebody signed in gets them."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.polls.asgi import application, ask

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Strict(HTMLParser):
    """Fails on what the policy of pages refuses, so that whatever needs it would not work."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        assert tag != "style"
        assert tag != "img" or names["src"] != "x"
        assert tag != "script" or "src" in names
        assert not [name for name in names if name == "style" or name.startswith("on")]
        assert not (names.get("href") or "").lower().startswith("javascript:")


@dataclass
class Reader:
    """Somebody with the administrator's token; every page that they get is checked."""

    app: Any
    token: str

    def get(self, url: str, status: int = 200) -> str:
        return self._ask("GET", url, status)

    def post(self, url: str, status: int = 303, **fields: str) -> str:
        return self._ask("POST", url, status, urlencode(fields).encode())

    def confirm(self, url: str, status: int = 303, **more: str) -> str:
        """Confirm a question with what its form holds."""
        page = self.get(url)
        form = page[page.index('<form method="post" action="', page.index('id="ask"')) :]
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        fields = {name: html.unescape(value) for name, value in hidden}
        action = re.findall(r'action="([^"]*)"', form)[0]
        return self.post(html.unescape(action), status, **fields, **more)

    def _ask(self, method: str, url: str, status: int, content: bytes = b"") -> str:
        path, _, query = url.partition("?")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Length": str(len(content))}
        headers |= FORM if content else {}
        asked = ask(self.app, unquote(path), headers, method, query.encode(), content)
        answer = asyncio.run(asked)
        text = answer.body.decode()
        assert answer.status == status, text[:3_000]
        assert "unsafe" not in answer.headers["content-security-policy"]
        Strict().feed(text)
        assert len(answer.body) <= 100_000
        return text


def words(page: str) -> str:
    """The text of a page."""
    page = re.sub(r"</?(strong|span|a|code|b)\b[^>]*>", "", page)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split()))


@pytest.fixture
def reader(inner: Hub) -> Reader:
    token = (inner.settings.data / "admin.token").read_text().strip()
    return Reader(application(inner), token)


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    """A hub that serves 1.0 and knows 1.1 and 1.2, which came of it."""
    for version in ("1.1", "1.2"):
        release = make_release(tmp_path / version, version=version, seed=3)
        serving.registry.publish(release, actor="test")
    return serving
