"""Rules for names, versions and digests, used by every message."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.limits import NAME_CHARACTERS

CONTROL: Final = "control"
"""Name of the serving release's arm in every experiment."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_PROVIDER: Final = re.compile(r"[A-Za-z0-9]{1,48}ExecutionProvider")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


class Version(NamedTuple):
    """``MAJOR.MINOR``: a new major is trained from scratch, a new minor from its parent."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read ``"MAJOR.MINOR"``.

        Raises:
            ContractError: ``text`` is not two decimal numbers with a dot between them.
        """
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ContractError(f"expected a version such as 1.0, got {text!r}")
        return cls(int(match[1]), int(match[2]))


def check_name(what: str, text: str) -> None:
    """Refuse a name that is not safe in a path, a URL and a shell.

    Raises:
        ContractError: the message begins with ``what``.
    """
    fits = (
        isinstance(text, str)
        and len(text) <= NAME_CHARACTERS
        and _NAME.fullmatch(text)
        and ".." not in text  # the pattern allows dots, a path would climb
    )
    require(
        bool(fits),
        f"{what}: expected 1 to {NAME_CHARACTERS} of a-z 0-9 . _ - beginning and ending with a "
        f"letter or digit, got {text!r:.80}",
    )


CPU: Final = "CPUExecutionProvider"


def is_provider(name: str) -> bool:
    """Return whether this is how onnxruntime names an execution provider."""
    return _PROVIDER.fullmatch(name) is not None


def check_provider(what: str, name: str) -> None:
    """Refuse a text that is no name of an execution provider.

    Raises:
        ContractError: the message begins with ``what``.
    """
    expected = "expected an execution provider, such as CUDAExecutionProvider"
    require(is_provider(name), f"{what}: {expected}, got {name[:80]!r}")


def check_digest(what: str, text: str) -> None:
    """Refuse a text that is not a lower-case hexadecimal SHA-256.

    Raises:
        ContractError: the message begins with ``what``.
    """
    require(
        _DIGEST.fullmatch(text) is not None,
        f"{what}: expected a SHA-256 of 64 hexadecimal digits, got {text[:80]!r}",
    )
