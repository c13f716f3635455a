"""Signing in at a provider: attempts that end once, and who somebody is when they come back."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, delete, insert, select

from cloud_hub.api.roles import Person
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Forbidden, HubFault, Unauthenticated
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.people.oidc.configuration import OidcConfiguration, rights_of
from cloud_hub.people.oidc.identity_token import verified_claims
from cloud_hub.people.oidc.provider import OidcProvider
from cloud_hub.people.tables import sign_in_attempts
from cloud_hub.text.yaml import read_yaml

if TYPE_CHECKING:
    from cloud_hub.people.service import People

ATTEMPT_SECONDS: Final = 600.0
"""Time to type a password at the provider."""


@dataclass(frozen=True)
class Attempt:
    """An attempt to sign in: where to send the browser, and the secret that its cookie keeps."""

    url: str
    secret: str


class OidcSignIn:
    """Signing in at the provider of one hub.

    Args:
        engine: of its database.
        people: who signs in becomes one of them.
        provider: who is asked.
        clock: Unix seconds.
    """

    def __init__(
        self,
        engine: Engine,
        people: People,
        provider: OidcProvider,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._people, self.provider = engine, people, provider
        self._clock = clock

    def begin(self, redirect_uri: str, next_: str) -> Attempt:
        """Begin an attempt.

        Args:
            redirect_uri: address of this hub to come back to.
            next_: path of this hub to go on to.

        Raises:
            Unavailable: the provider cannot be reached.
        """
        secret, now = secrets.token_urlsafe(32), self._clock()
        begun = self.provider.begin(redirect_uri, _state(secret))
        row = {
            "digest": digest(secret), "nonce": begun.nonce, "verifier": begun.verifier,
            "next": next_, "expires_at": now + ATTEMPT_SECONDS,
        }  # fmt: skip
        with transaction(self._engine) as db:
            db.execute(delete(sign_in_attempts).where(sign_in_attempts.c.expires_at < now))
            db.execute(insert(sign_in_attempts).values(**row))
        return Attempt(begun.url, secret)

    def finish(
        self, secret: str | None, query: Mapping[str, str], redirect_uri: str
    ) -> tuple[Person, str]:
        """Return who came back from the provider, and the path to go on to.

        Args:
            secret: of the browser's cookie.
            query: that the provider sent the browser back with.
            redirect_uri: as the attempt began with it.

        Raises:
            Unauthenticated: it is another browser's attempt, or over, or the provider refused.
            Forbidden: it is nobody whom this hub lets in.
            Unavailable: the provider cannot be reached.
        """
        if secret is None or not hmac.compare_digest(
            query.get("state", "").encode(), _state(secret).encode()
        ):
            raise _unknown_attempt()
        attempt = self._take(secret)
        if "code" not in query:
            reason = query.get("error_description") or query.get("error") or "no reason given"
            raise Unauthenticated(f"sign-in: the provider refused: {reason:.200}", guess=False)
        tokens = self.provider.tokens(query["code"], attempt["verifier"], redirect_uri)
        claims = verified_claims(
            str(tokens.get("id_token", "")), self.provider.keys(), self.provider.configuration,
            nonce=attempt["nonce"], now=self._clock(),
        )  # fmt: skip
        return self._person(claims, tokens), str(attempt["next"])

    def _take(self, secret: str) -> Mapping[str, Any]:
        """Return an attempt and end it: a code is worth one try; raises Unauthenticated."""
        t = sign_in_attempts.c
        with transaction(self._engine) as db:
            found = db.execute(select(sign_in_attempts).where(t.digest == digest(secret)))
            row = found.mappings().first()
            gone = db.execute(delete(sign_in_attempts).where(t.digest == digest(secret)))
        if row is None or gone.rowcount != 1 or row["expires_at"] <= self._clock():
            raise _unknown_attempt()
        return dict(row)

    def _person(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Person:
        own = self.provider.configuration
        known = dict(claims)
        if not {own.groups_claim, own.name_claim} <= known.keys() and "access_token" in tokens:
            told = self.provider.user_info(str(tokens["access_token"]))
            # Another person's answer would be believed otherwise (OpenID Connect Core, 5.3.2).
            known = {**told, **known} if told.get("sub") == claims["sub"] else known
        groups = known.get(own.groups_claim) or ()
        listed = [groups] if isinstance(groups, str) else groups
        names = {group for group in listed if isinstance(group, str)}
        rights = rights_of(names, own.grants)
        subject = f"{own.issuer}#{claims['sub']}"
        if own.grants and rights is None:
            self._people.withdraw(subject)
            raise Forbidden("sign-in: none of your groups may do anything here; ask for one")
        name = str(known.get(own.name_claim) or claims["sub"])
        return self._people.signed_in(subject, name, rights)


def open_oidc(file: Path | None, engine: Engine, people: People) -> OidcSignIn | None:
    """Return signing in at the provider that a file names; ``None`` without a file.

    Args:
        file: YAML of an :class:`OidcConfiguration`.
        engine: of the hub's database.
        people: of the hub.

    Raises:
        HubFault: the file says something else, or what it needs is not there.
    """
    if file is None:
        return None
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise HubFault(f"{file}: cannot be read: {error}") from error
    configuration = read_yaml(OidcConfiguration, text, str(file))
    return OidcSignIn(engine, people, OidcProvider(configuration))


def _state(secret: str) -> str:
    """Return what the provider sends the browser back with: it tells nothing of the cookie."""
    return hashlib.sha256(b"edge-hub state " + secret.encode()).hexdigest()


def _unknown_attempt() -> Unauthenticated:
    return Unauthenticated(
        "sign-in: this browser began no such attempt, or more than ten minutes ago; begin again",
        guess=False,
    )
