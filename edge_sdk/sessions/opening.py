"""Sessions of a device, opened as they are declared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sdk.contract.personal.session_features import DECLARATION_BYTES, SessionFeatures
from edge_sdk.errors import ContractError, InputError, StateError, reason_of
from edge_sdk.sessions.session_store import SessionStore
from edge_sdk.validation import path_of


def opened_sessions(
    declared: SessionFeatures,
    clock: Callable[[], float],
    folder: Path | None = None,
    secret: bytes = b"",
) -> SessionStore:
    """Return sessions of a declaration.

    Args:
        declared: features and bounds.
        clock: function that returns Unix seconds.
        folder: of the model, for sessions that outlive a restart; ``None`` to keep none.
        secret: of the state folder.
    """
    if folder is None or not declared.kept:
        return SessionStore(declared, clock)
    from edge_sdk.sessions.kept_sessions import KeptSessions  # it loads sqlite3

    return SessionStore(declared, clock, KeptSessions(folder, secret, declared))


def read_declaration(source: Any) -> SessionFeatures:
    """Return what was declared.

    Args:
        source: the declaration, or the path of a file that ``edge-hub features export`` wrote.

    Raises:
        InputError: the file cannot be read, or holds none.
        StateError: ``source`` is no path.
    """
    if isinstance(source, SessionFeatures):
        return source
    path = path_of("sessions", source, StateError)
    try:
        with path.open("rb") as file:
            return SessionFeatures.from_json(file.read(2 * DECLARATION_BYTES + 1))
    except OSError as error:
        raise InputError("opening", f"{path}: cannot read it; {reason_of(error)}") from error
    except ContractError as error:
        raise InputError(
            "opening", f"{path}: expected declared session features; {error}"
        ) from error
