"""Verification of ID tokens: nothing of one is believed before all of it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_hub.errors import Unauthenticated
from cloud_hub.people.oidc.configuration import OidcConfiguration

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Signatures with the provider's public keys; ``none``, and secrets of ours, are no signatures."""


def verified_claims(
    token: str, keys: Mapping[str, Any], expected: OidcConfiguration, *, nonce: str, now: float
) -> dict[str, Any]:
    """Return the claims of an ID token.

    Args:
        token: as the provider sent it.
        keys: its JSON Web Key Set.
        expected: who may have made it, and for whom.
        nonce: of the attempt to sign in that it answers.
        now: Unix seconds.

    Raises:
        Unauthenticated: it is not signed by the provider, not for this hub or attempt, or expired.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        key_set = KeySet.import_key_set(keys)  # type: ignore[arg-type]
        decoded = jwt.decode(token, key_set, algorithms=list(ALGORITHMS))
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise _refused(f"is not signed with a key of the provider ({error})") from error
    claims = dict(decoded.claims)
    problem = _problem(claims, expected, nonce, now)
    if problem:
        raise _refused(problem)
    return claims


def _problem(claims: Mapping[str, Any], expected: OidcConfiguration, nonce: str, now: float) -> str:
    """Say what is wrong with signed claims; empty if nothing is."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if claims.get("iss") != expected.issuer:
        return f"is of issuer {claims.get('iss')!r:.100}, expected {expected.issuer}"
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        return f"is for {audience!r:.100}, expected {expected.client_id}"
    if claims.get("azp", expected.client_id) != expected.client_id:
        return f"was made for {claims.get('azp')!r:.100}, expected {expected.client_id}"
    if claims.get("nonce") != nonce:
        return "answers another attempt to sign in"
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        return "names nobody: expected sub"
    return _time_problem(claims, expected.clock_skew, now)


def _time_problem(claims: Mapping[str, Any], skew: float, now: float) -> str:
    expires, issued, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if not all(isinstance(moment, int | float) for moment in (expires, issued, begins)):
        return "says no times: expected exp and iat"
    assert expires is not None
    assert issued is not None
    if expires + skew <= now:
        return f"expired {now - expires:.0f} s ago, by the hub's clock"
    if max(issued, begins) - skew > now:
        return f"is from {max(issued, begins) - now:.0f} s after now, by the hub's clock"
    return ""


def _refused(problem: str) -> Unauthenticated:
    # No guess: whoever is sent here by the provider has typed no secret of this hub.
    return Unauthenticated(f"sign-in: the provider's ID token {problem}", guess=False)
