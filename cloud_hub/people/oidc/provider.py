"""A provider of OpenID Connect over HTTP: its description, its keys, and codes for tokens.

Authlib speaks OAuth 2.0 with it. Addresses come from its description, which is fetched from the
issuer alone and has to name that issuer.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloud_hub.errors import HubFault, Unauthenticated, Unavailable
from cloud_hub.people.oidc.configuration import OidcConfiguration, is_private

DESCRIPTION: Final = "/.well-known/openid-configuration"
KEPT_SECONDS: Final = 3_600.0
PATIENCE_SECONDS: Final = 10.0
LONGEST_BYTES: Final = 1 << 20
_ADDRESSES: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class BegunSignIn:
    """An attempt to sign in, as the browser is sent off with it.

    Attributes:
        url: of the provider's page.
        nonce: that its ID token has to carry.
        verifier: that proves to the provider that it was this hub who began (PKCE).
    """

    url: str
    nonce: str
    verifier: str


class OidcProvider:
    """The provider of one hub.

    Args:
        configuration: which one, and as whom it is asked.

    Raises:
        HubFault: Authlib is not installed, or the client's secret is not in the environment.
    """

    def __init__(self, configuration: OidcConfiguration) -> None:
        try:
            import authlib  # noqa: F401 (found at the start, and not when somebody signs in)
            import joserfc  # noqa: F401
        except ImportError as error:
            raise HubFault(
                f'oidc: is not installed ({error}); pip install "edge-deployment-sdk[oidc]"'
            ) from error
        self.configuration = configuration
        self._secret = None
        if configuration.secret_env:
            self._secret = os.environ.get(configuration.secret_env)
            if not self._secret:
                raise HubFault(f"oidc: expected the client's secret in ${configuration.secret_env}")
        self._description: tuple[float, Mapping[str, Any]] | None = None

    def begin(self, redirect_uri: str, state: str) -> BegunSignIn:
        """Return where to send a browser.

        Args:
            redirect_uri: address of this hub to come back to.
            state: what it comes back with.

        Raises:
            Unavailable: the provider cannot be reached.
        """
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        url, _ = self._session(redirect_uri).create_authorization_url(
            self._described("authorization_endpoint"), state=state, nonce=nonce,
            code_verifier=verifier,
        )  # fmt: skip
        return BegunSignIn(str(url), nonce, verifier)

    def tokens(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        """Return the tokens that a code stands for.

        Args:
            code: that the browser came back with.
            verifier: of the attempt.
            redirect_uri: as the attempt began with it.

        Raises:
            Unauthenticated: the provider refuses the code.
            Unavailable: the provider cannot be reached.
        """
        from authlib.common.errors import AuthlibBaseError
        from requests import RequestException

        try:
            token = self._session(redirect_uri).fetch_token(
                self._described("token_endpoint"), grant_type="authorization_code", code=code,
                code_verifier=verifier, timeout=PATIENCE_SECONDS, allow_redirects=False,
            )  # fmt: skip
        except RequestException as error:
            raise self._away(error) from error
        except (AuthlibBaseError, ValueError) as error:
            reason = f"sign-in: the provider refuses ({error}); try once more"
            raise Unauthenticated(reason, guess=False) from error
        return dict(token)

    def keys(self) -> Mapping[str, Any]:
        """Return its JSON Web Key Set; raises Unavailable."""
        return self._fetched(self._described("jwks_uri"))

    def user_info(self, access_token: str) -> Mapping[str, Any]:
        """Return what it says of a person beside the ID token; nothing where it says nothing."""
        address = self._described("userinfo_endpoint", optional=True)
        if not address:
            return {}
        return self._fetched(address, {"Authorization": f"Bearer {access_token}"})

    def _session(self, redirect_uri: str) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        own = self.configuration
        return OAuth2Session(
            own.client_id, self._secret, scope=own.scopes, redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
        )  # fmt: skip

    def _described(self, name: str, *, optional: bool = False) -> str:
        """Return an address of the provider's; raises Unavailable."""
        now = time.monotonic()
        if self._description is None or now - self._description[0] > KEPT_SECONDS:
            issuer = self.configuration.issuer
            described = self._fetched(issuer.rstrip("/") + DESCRIPTION)
            if described.get("issuer") != issuer:
                raise Unavailable(
                    f"oidc: {issuer} says that it is {described.get('issuer')!r:.100}; the "
                    "configuration has to name the issuer as its tokens do"
                )
            self._description = (now, described)
        address = self._description[1].get(name)
        if isinstance(address, str) and is_private(address):
            return address
        if optional:
            return ""
        raise Unavailable(f"oidc: {self.configuration.issuer} names no {name} with https://")

    def _fetched(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        import requests

        try:
            answer = requests.get(
                url, headers=headers, timeout=PATIENCE_SECONDS, allow_redirects=False
            )
            if len(answer.content) > LONGEST_BYTES or answer.status_code != 200:
                raise Unavailable(f"oidc: {url}: answered {answer.status_code}")
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from error
        if not isinstance(body, dict):
            raise Unavailable(f"oidc: {url}: expected a JSON object")
        return body

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"oidc: {self.configuration.issuer} cannot be asked: {error!s:.200}")
