"""The form in which secrets are stored: whoever reads the database can use none of them."""

from __future__ import annotations

import hashlib


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret.

    Secrets are random and long, so a plain hash protects them as well as a slow one would.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
