"""Signing in by OpenID Connect: at a real provider, and with ID tokens that are no good."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from fastapi.testclient import TestClient

from cloud_hub.api.posted_form import COOKIE
from cloud_hub.api.roles import Role
from cloud_hub.errors import HubFault, Unauthenticated
from cloud_hub.hub import Hub
from cloud_hub.people.oidc.configuration import GroupGrant, OidcConfiguration, rights_of
from cloud_hub.people.oidc.identity_token import verified_claims
from cloud_hub.people.oidc.sign_in import ATTEMPT_SECONDS, open_oidc
from tests.clock import Clock
from tests.waiting import PATIENCE, wait_for

NOW = 1_800_000_000.0
US = OidcConfiguration("https://login.example", "edge-hub")
USERS: tuple[dict[str, Any], ...] = (
    {"sub": "u-ann", "preferred_username": "ann", "groups": ["ops", "all"]},
    {"sub": "u-bob", "preferred_username": "bob", "groups": ["kitchen"]},
    {"sub": "u-eve", "preferred_username": "otto", "groups": ["ops"]},
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider, in a process of its own."""
    if importlib.util.find_spec("oidc_provider_mock") is None:
        pytest.skip("needs oidc-provider-mock, which development installs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    users = [word for user in USERS for word in ("--user-claims", json.dumps(user))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *users]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=PATIENCE).ok
        return False

    try:
        wait_for(answers, "the provider")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
def browser(
    web: TestClient, inner: Hub, issuer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """A browser of a hub whose people sign in at the provider."""
    file = tmp_path / "oidc.yaml"
    grants = "[{group: ops, role: operator, models: [demo]}, {group: root, role: administrator}]"
    monkeypatch.setenv("HUB_OIDC_SECRET", "of the test")
    client = "client_id: edge-hub\nsecret_env: HUB_OIDC_SECRET"
    file.write_text(f"issuer: {issuer}\n{client}\ngrants: {grants}\n")
    inner.oidc = open_oidc(file, inner.engine, inner.people)
    return web


def at_provider(url: str, subject: str) -> str:
    """Sign in at the provider as a browser does; return the path that it leads back to."""
    answer = requests.post(url, data={"sub": subject}, timeout=PATIENCE, allow_redirects=False)
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def sign_in(browser: TestClient, subject: str, next_: str = "/fleet") -> Any:
    begun = browser.get("/sign-in/oidc", params={"next": next_})
    assert begun.status_code == 303, begun.text
    return browser.get(at_provider(begun.headers["Location"], subject))


def test_who_signs_in_at_the_provider_has_the_rights_of_their_groups(
    browser: TestClient, inner: Hub
) -> None:
    back = sign_in(browser, "u-ann")
    assert (back.status_code, back.headers["Location"]) == (303, "/fleet")
    who = browser.get("/v1/session").json()
    assert (who["name"], who["role"], who["models"]) == ("ann", "operator", ["demo"])
    assert browser.get("/v1/people").status_code == 403
    # Once more, with the role that somebody gave her by hand: her groups decide.
    inner.people.change("ann", Role.ADMINISTRATOR, None, actor="admin")
    assert sign_in(browser, "u-ann", "//evil.example").headers["Location"] == "/"
    assert browser.get("/v1/session").json()["role"] == "operator"
    assert [person.name for person in inner.people.list()] == ["ann"]
    inner.people.disable("ann", reason="left", actor="admin")
    refused = sign_in(browser, "u-ann")
    assert (refused.status_code, "is disabled" in refused.text) == (403, True)


def test_nobody_gets_in_without_a_group_or_by_the_name_of_another(
    browser: TestClient, inner: Hub
) -> None:
    assert "none of your groups" in sign_in(browser, "u-bob").json()["error"]
    inner.people.add("otto", Role.ADMINISTRATOR, actor="admin")
    assert "is somebody else here" in sign_in(browser, "u-eve").json()["error"]
    assert COOKIE not in browser.cookies


def test_an_attempt_belongs_to_one_browser_and_ends_once(
    browser: TestClient, clock: Clock, inner: Hub
) -> None:
    begun = browser.get("/sign-in/oidc").headers["Location"]
    asked = parse_qs(urlsplit(begun).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["nonce"][0]) >= 20
    back = at_provider(begun, "u-ann")
    stranger = TestClient(browser.app, follow_redirects=False)
    assert stranger.get(back).status_code == 401
    assert browser.get(back).status_code == 303
    assert browser.get(back).status_code == 401
    late = at_provider(browser.get("/sign-in/oidc").headers["Location"], "u-ann")
    assert inner.oidc is not None
    real = inner.oidc._clock
    inner.oidc._clock = lambda: real() + ATTEMPT_SECONDS
    assert "begin again" in browser.get(late).json()["error"]
    inner.oidc._clock = real
    refused = browser.get("/sign-in/oidc").headers["Location"]
    state = parse_qs(urlsplit(refused).query)["state"][0]
    told = browser.get(f"/sign-in/oidc/callback?state={state}&error=access_denied")
    assert (told.status_code, "access_denied" in told.text) == (401, True)


def test_the_provider_learns_the_challenge_and_the_hub_keeps_the_verifier(
    browser: TestClient, inner: Hub
) -> None:
    assert inner.oidc is not None
    begun = inner.oidc.provider.begin("http://testserver/sign-in/oidc/callback", "state")
    digest = hashlib.sha256(begun.verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert parse_qs(urlsplit(begun.url).query)["code_challenge"] == [challenge]
    assert begun.verifier not in begun.url


def test_a_hub_without_a_provider_says_so(web: TestClient) -> None:
    assert web.get("/sign-in/oidc").status_code == 404


GOOD = {
    "iss": US.issuer, "aud": "edge-hub", "sub": "u-1", "nonce": "n", "iat": NOW, "exp": NOW + 300,
}  # fmt: skip
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "of another issuer": ({"iss": "https://evil.example"}, "issuer"),
    "for another client": ({"aud": "other"}, "expected edge-hub"),
    "for others, too, and made for one": ({"aud": ["edge-hub", "x"], "azp": "x"}, "made for"),
    "of another attempt": ({"nonce": "m"}, "another attempt"),
    "without a nonce": ({"nonce": None}, "another attempt"),
    "expired beyond the skew": ({"exp": NOW - 60}, "expired"),
    "from the future": ({"iat": NOW + 61}, "after now"),
    "not yet valid": ({"nbf": NOW + 61}, "after now"),
    "without times": ({"exp": None}, "no times"),
    "of nobody": ({"sub": ""}, "names nobody"),
}
FINE: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "for several": {"aud": ["x", "edge-hub"]},
    "expired within the skew": {"exp": NOW - 59},
    "by a clock that is ahead": {"iat": NOW + 59},
}


def test_an_id_token_is_believed_only_if_all_of_it_is_right() -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet, OctKey, RSAKey

    key, other = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("k", "k"))
    keys: Any = KeySet([key]).as_dict(private=False)

    def signed(changes: dict[str, Any], alg: str = "RS256", by: Any = key) -> str:
        claims = {name: value for name, value in (GOOD | changes).items() if value is not None}
        return jwt.encode({"alg": alg, "kid": "k"}, claims, by, algorithms=[alg])

    for case, changes in FINE.items():
        claims = verified_claims(signed(changes), keys, US, nonce="n", now=NOW)
        assert claims["sub"] == "u-1", case
    for changes, reason in BAD.values():
        bad = signed(changes)
        with pytest.raises(Unauthenticated, match=reason):
            verified_claims(bad, keys, US, nonce="n", now=NOW)
    # Whoever knows the public key signs with it as if it were a secret.
    confused = OctKey.import_key(json.dumps(keys["keys"][0]))
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(GOOD).encode()).rstrip(b"=").decode()
    for token in (
        signed({}, "HS256", confused),
        signed({}, by=other),
        f"{header}.{body}.",
        "",
        "x",
    ):
        with pytest.raises(Unauthenticated, match="not signed with a key of the provider"):
            verified_claims(token, keys, US, nonce="n", now=NOW)


def test_the_highest_role_of_all_groups_counts_with_the_models_that_give_it() -> None:
    grants = (
        GroupGrant("all", "viewer"), GroupGrant("a", "operator", ("x",)),
        GroupGrant("b", "operator", ("y", "x")), GroupGrant("c", "operator"),
    )  # fmt: skip
    assert rights_of((), grants) is None
    assert rights_of(("other",), grants) is None
    assert rights_of(("all",), grants) == (Role.VIEWER, None)
    assert rights_of(("all", "a"), grants) == (Role.OPERATOR, ("x",))
    assert rights_of(("a", "b"), grants) == (Role.OPERATOR, ("x", "y"))
    assert rights_of(("a", "c"), grants) == (Role.OPERATOR, None)


WRONG_FILES: dict[str, str] = {
    "issuer: http://login.example\nclient_id: x": "issuer: expected https://",
    "issuer: https://login.example": "client_id",
    "issuer: https://l.example\nclient_id: x\ngrants: [{group: a, role: king}]": "role",
    "issuer: https://l.example\nclient_id: x\nsecret_env: HUB_NO_SUCH": r"\$HUB_NO_SUCH",
}


def test_a_file_that_says_something_else_is_refused_at_the_start(
    inner: Hub, tmp_path: Path
) -> None:
    file = tmp_path / "oidc.yaml"
    for text, reason in WRONG_FILES.items():
        file.write_text(text)
        with pytest.raises(HubFault, match=reason):
            open_oidc(file, inner.engine, inner.people)
    with pytest.raises(HubFault, match="cannot be read"):
        open_oidc(tmp_path / "none.yaml", inner.engine, inner.people)
