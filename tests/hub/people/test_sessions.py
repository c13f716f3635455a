"""Signing in with a browser: what its session may, how long it lasts, and what ends it."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, Request, Response
from fastapi.testclient import TestClient

from cloud_hub.api.auth import PUBLIC, ROOT, Operator, csrf_token
from cloud_hub.api.posted_form import COOKIE, SECURE_COOKIE, posted_form
from cloud_hub.api.rate_limits import RateLimits
from cloud_hub.api.roles import Role
from cloud_hub.hub import Hub
from cloud_hub.people.cookies import safe_next, sign_in, sign_out
from cloud_hub.people.sessions import ABSOLUTE_SECONDS, IDLE_SECONDS
from cloud_hub.settings import Rate, RateSettings
from tests.clock import Clock
from tests.hub.people.conftest import AddPerson, bearer

pages = APIRouter()


@pages.post("/in", dependencies=PUBLIC)
async def enter(request: Request, response: Response) -> dict[str, str]:
    person = sign_in(request, response, (await posted_form(request)).get("token", ""))
    return {"name": person.name}


@pages.post("/out", dependencies=PUBLIC)
def leave(request: Request, response: Response) -> None:
    sign_out(request, response)


@pages.get("/token")
def token_of_forms(request: Request, person: Operator) -> str:
    return csrf_token(request)


@pages.post("/change")
async def change(request: Request, person: Operator) -> dict[str, str]:
    return {"by": person, **await posted_form(request)}


@pytest.fixture
def browser(web: TestClient) -> TestClient:
    web.app.include_router(pages)  # type: ignore[attr-defined]
    return web


def signed_in(browser: TestClient, token: str) -> str:
    """Sign in; return the CSRF token of the session's forms."""
    answer = browser.post("/in", data={"token": token})
    assert answer.status_code == 200, answer.text
    return str(browser.get("/token").json())


def test_a_session_acts_for_the_person_in_forms_of_this_hub_alone(
    browser: TestClient, add_person: AddPerson
) -> None:
    csrf = signed_in(browser, add_person("otto", "operator"))
    done = browser.post("/change", data={"csrf": csrf, "x": "1"})
    assert done.json() == {"by": "otto", "csrf": csrf, "x": "1"}
    assert browser.post("/change", headers={"X-CSRF-Token": csrf}).json()["by"] == "otto"
    for form in ({}, {"csrf": ""}, {"csrf": "é"}, {"csrf": csrf[:-1]}):
        refused = browser.post("/change", data=form)
        assert (refused.status_code, "CSRF token" in refused.text) == (403, True)
    elsewhere = {"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": csrf}
    assert browser.post("/change", headers=elsewhere).status_code == 403
    assert browser.post("/v1/enrolment-tokens?model=demo").status_code == 403
    # A token that comes along is what counts: programs have no cookies, and need no form.
    own = add_person("vera", "viewer")
    assert browser.post("/change", headers=bearer(own)).status_code == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    browser: TestClient, add_person: AddPerson
) -> None:
    token = add_person("otto", "operator")
    plain = browser.post("/in", data={"token": token}).headers["Set-Cookie"]
    assert plain.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(plain.split("; "))
    assert "Secure" not in plain
    tls = TestClient(browser.app, base_url="https://hub.example")
    secure = tls.post("/in", data={"token": token}).headers["Set-Cookie"]
    assert secure.startswith(f"{SECURE_COOKIE}=")
    assert "Secure" in secure.split("; ")
    assert token not in plain + secure


def test_a_session_ends_when_nobody_uses_it_and_at_the_end_of_the_day(
    browser: TestClient, add_person: AddPerson, clock: Clock
) -> None:
    token = add_person("otto", "operator", seconds=30 * 86_400)
    signed_in(browser, token)
    begun = clock.now
    while clock.now + IDLE_SECONDS / 2 < begun + ABSOLUTE_SECONDS:
        clock.now += IDLE_SECONDS / 2
        assert browser.get("/token").status_code == 200
    clock.now = begun + ABSOLUTE_SECONDS
    over = browser.get("/token")
    assert (over.status_code, "sign in again" in over.text) == (401, True)
    signed_in(browser, token)
    clock.now += IDLE_SECONDS
    assert browser.get("/token").status_code == 401


ENDS = ("token revoked", "person disabled", "token expired", "signed out", "role taken away")


@pytest.mark.parametrize("how", ENDS)
def test_what_a_session_stands_for_ends_it(
    browser: TestClient, inner: Hub, add_person: AddPerson, clock: Clock, how: str
) -> None:
    csrf, people = signed_in(browser, add_person("otto", "operator", seconds=3_600)), inner.people
    secret = browser.cookies[COOKIE]
    if how == "token revoked":
        people.tokens.revoke(people.tokens.list("otto")[0].id, by=ROOT)
    elif how == "person disabled":
        people.disable("otto", reason="left", actor="admin")
    elif how == "token expired":
        clock.now += 3_600
    elif how == "signed out":
        assert browser.post("/out", data={"csrf": csrf}).status_code == 200
        browser.cookies.set(COOKIE, secret)  # somebody copied it before
    else:
        people.change("otto", Role.VIEWER, None, actor="admin")
    assert browser.get("/token").status_code == (403 if how == "role taken away" else 401)
    if how == "person disabled":
        people.enable("otto", actor="admin")
        assert browser.get("/token").status_code == 401


def test_the_administrators_file_signs_in_and_another_content_ends_it(
    browser: TestClient, inner: Hub
) -> None:
    file = inner.settings.data / "admin.token"
    signed_in(browser, file.read_text())
    assert browser.get("/v1/session").json()["name"] == "admin"
    file.write_text("another, and long enough to be a secret")
    assert browser.get("/token").status_code == 401


def test_signing_in_gives_another_session_than_the_browser_brought(
    browser: TestClient, inner: Hub, add_person: AddPerson
) -> None:
    otto, anna = add_person("otto", "operator"), add_person("anna", "operator")
    signed_in(browser, otto)
    planted = browser.cookies[COOKIE]
    signed_in(browser, anna)
    assert browser.cookies[COOKIE] != planted
    assert inner.people.sessions.person(planted) is None


def test_who_may_not_sign_in_is_told_why_and_guesses_are_slowed_down(
    browser: TestClient, inner: Hub, add_person: AddPerson
) -> None:
    service = browser.post("/in", data={"token": add_person("ci", "publisher", kind="service")})
    assert (service.status_code, "service account" in service.text) == (403, True)
    inner.limits = RateLimits(RateSettings(failures=Rate(0.001, 3)))
    token = add_person("otto", "operator")
    statuses = [browser.post("/in", data={"token": f"hub_{i}"}).status_code for i in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert browser.post("/in", data={"token": token}).status_code == 429


def test_no_secret_is_in_the_database(
    browser: TestClient, inner: Hub, add_person: AddPerson
) -> None:
    token = add_person("otto", "operator")
    csrf = signed_in(browser, token)
    stored = ""
    with inner.engine.connect() as db:
        for table in ("people", "access_tokens", "person_sessions", "audit"):
            stored += repr(db.exec_driver_sql(f"SELECT * FROM {table}").all())
    for secret in (token, browser.cookies[COOKIE], csrf):
        assert secret not in stored


LEADS: dict[str, str] = {
    "/fleet?model=demo": "/fleet?model=demo", "/": "/", "": "/", "fleet": "/",
    "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/",
    "/\t/evil.example": "/", "\\\\evil.example": "/", "javascript:alert(1)": "/",
    "/sign-out": "/", "/x\r\nSet-Cookie: a=b": "/",
}  # fmt: skip


@pytest.mark.parametrize("text", LEADS)
def test_after_signing_in_nobody_is_led_to_another_site(text: str) -> None:
    assert safe_next(text) == LEADS[text]


def test_a_last_use_is_noted_to_the_minute_and_a_full_disk_keeps_nobody_out(
    inner: Hub, add_person: AddPerson, clock: Clock
) -> None:
    token, tokens = add_person("otto", "operator"), inner.people.tokens
    assert tokens.list("otto")[0].used_at is None
    assert tokens.person(token) is not None
    first = tokens.list("otto")[0].used_at
    clock.now += 30
    tokens.person(token)
    assert tokens.list("otto")[0].used_at == first == clock.now - 30
    clock.now += 40
    if inner.engine.dialect.name == "sqlite":
        with inner.engine.begin() as db:
            fails = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
            db.exec_driver_sql(f"CREATE TRIGGER full BEFORE UPDATE ON access_tokens {fails}")
    assert tokens.person(token) is not None
