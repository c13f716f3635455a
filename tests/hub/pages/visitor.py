"""Somebody who looks at pages, without a browser: cookies, forms, and what was answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from cloud_hub.hub import Hub
from tests.hub.polls.asgi import Answered, application, ask


class Visitor:
    def __init__(self, hub: Hub, app: Any = None) -> None:
        self.hub = hub
        self.app = app or application(hub)
        self.cookies: dict[str, str] = {}

    def ask(self, url: str, form: Mapping[str, str] | None = None, **headers: str) -> Answered:
        path, _, query = url.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        content = b""
        if form is not None:
            content = urlencode(form).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        method = "GET" if form is None else "POST"
        answer = asyncio.run(ask(self.app, path, sent, method, query.encode(), content))
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self.cookies[name] = morsel.value
            if morsel["max-age"] == "0":
                del self.cookies[name]
        return answer

    def page(self, url: str, status: int = 200) -> str:
        answer = self.ask(url)
        assert answer.status == status, answer.body.decode()
        return answer.body.decode()

    def sign_in(self, token: str | None = None) -> Visitor:
        token = token or (self.hub.settings.data / "admin.token").read_text()
        answer = self.ask("/sign-in", {"token": token, "next": "/fleet"})
        assert (answer.status, answer.headers["location"]) == (303, "/fleet")
        return self

    def send(self, url: str, **fields: str) -> Answered:
        """Fill the form in that a page asks for, and send it."""
        return self.send_to(url, url, **fields)

    def send_to(self, url: str, action: str, **fields: str) -> Answered:
        """Fill a form of a page in, and send it to where it goes."""
        page = self.page(url)
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found is not None, page
        return self.ask(action, {"csrf": found[1], **fields})


def told(answer: Answered | str) -> str:
    """What a page says, without its tags."""
    text = answer if isinstance(answer, str) else answer.body.decode()
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
