"""Root of the device's error tree, and the one error of the wire.

They are below everything else because both sides of the wire raise and catch them;
``edge_sdk.errors`` draws the whole tree.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Root of every error that ``edge_sdk`` raises on purpose."""


class ContractError(EdgeError):
    """A message or file violates the contract; names the field, the expected and actual value."""


def require(condition: bool, message: str) -> None:
    """Raise :class:`ContractError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ContractError(message)
