"""What holds on every page: who may look, what a browser is allowed, how a refusal looks."""

from __future__ import annotations

import re

import pytest

from cloud_hub.hub import Hub
from cloud_hub.web.frame import HEADERS
from tests.hub.pages.visitor import Visitor, told
from tests.simulated_device import enrolled

PAGES = ["/", "/fleet", "/audit", "/people", "/docs"]


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_sign_in_and_comes_back(serving: Hub, page: str) -> None:
    answer = Visitor(serving).ask(f"{page}?q=x%26y" if page == "/fleet" else page)
    assert answer.status == 303
    back = "/fleet%3Fq%3Dx%2526y" if page == "/fleet" else page
    assert answer.headers["location"] == f"/sign-in?next={back}"
    assert answer.body == b""


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_policy_without_inline_code_and_keeps_to_it(
    visitor: Visitor, page: str
) -> None:
    answer = visitor.ask(page)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    text = answer.body.decode()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! defer src=)", text) == []
    # Works without the Internet: whatever a page loads, it loads from this hub.
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text) == []
    assert len(answer.body) < 60_000


def test_the_right_token_signs_in_and_a_wrong_one_says_so(serving: Hub) -> None:
    visitor = Visitor(serving)
    wrong = visitor.ask("/sign-in", {"token": "guess", "next": "/fleet"})
    assert wrong.status == 401
    assert "token: unknown" in told(wrong)
    assert visitor.cookies == {}
    visitor.sign_in()
    assert "Fleet" in told(visitor.page("/fleet"))


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil", "fleet"])
def test_signing_in_leads_to_no_other_site(serving: Hub, there: str) -> None:
    token = (serving.settings.data / "admin.token").read_text()
    answer = Visitor(serving).ask("/sign-in", {"token": token, "next": there})
    assert answer.headers["location"] == "/"


def test_a_session_ends_when_its_owner_signs_out(visitor: Visitor) -> None:
    kept = dict(visitor.cookies)
    form = re.search(r'name="csrf" value="([^"]+)"', visitor.page("/"))
    assert form is not None
    assert visitor.ask("/sign-out", {"csrf": form[1]}).headers["location"] == "/sign-in"
    visitor.cookies = kept  # somebody has copied them before
    assert visitor.ask("/fleet").status == 303


def test_a_form_without_the_token_of_the_session_changes_nothing(
    visitor: Visitor, serving: Hub
) -> None:
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    device = enrolled(serving, token)
    for form in ({"reason": "x"}, {"reason": "x", "csrf": "0" * 64}):
        answer = visitor.ask(f"/devices/{device}/revoke", form)
        assert answer.status == 403
        assert "CSRF" in told(answer)
    assert serving.fleet.identities.get(device).standing == "active"


def test_a_poll_without_a_session_leads_the_browser_to_sign_in(serving: Hub) -> None:
    answer = Visitor(serving).ask("/fleet", HX_Request="true")
    assert (answer.status, answer.headers["hx-redirect"]) == (401, "/sign-in?next=/fleet")


def test_a_refusal_is_a_page_and_what_was_done_is_said_once(visitor: Visitor) -> None:
    assert "no such device" in told(visitor.page("/devices/none", 404))
    assert "page" in told(visitor.page("/fleet?page=x", 422))
    answer = visitor.send("/people/enrolment", model="<b>", uses="1", lasts="1h")
    assert answer.status == 422
    assert "<b>" not in answer.body.decode()


def test_assets_have_their_digest_in_their_address_and_never_change(visitor: Visitor) -> None:
    found = re.findall(r'"(/assets/[^"]+)"', visitor.page("/docs"))
    assert len(set(found)) >= 6
    for url in set(found):
        asset = Visitor(visitor.hub, visitor.app).ask(url, Accept_Encoding="gzip")
        assert asset.status == 200
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-encoding"] == "gzip"
    other = visitor.ask("/assets/0000000000000000/hub.css")
    assert (other.status, other.headers["cache-control"]) == (200, "no-cache")
    assert visitor.ask("/assets/0/..%2Fframe.py").status == 404


def test_a_page_with_what_it_loads_is_below_100_kilobytes(visitor: Visitor) -> None:
    page = visitor.page("/fleet")
    loaded = [
        visitor.ask(url, Accept_Encoding="gzip").body
        for url in set(re.findall(r'"(/assets/[^"]+)"', page))
    ]
    assert len(page.encode()) + sum(map(len, loaded)) < 60_000  # without devices; 50 take 30 kB
    assert HEADERS["X-Frame-Options"] == "DENY"
