"""The session of one unit, as an application holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.model.prediction import Prediction


class SessionCalls(Protocol):
    """What sessions are done with: a model here, or one that another process runs."""

    @property
    def predict(self) -> Callable[..., Prediction]:
        """Answers one input."""

    def session_event(self, unit: str, event: Mapping[str, Any], at: Any) -> None:
        """Take an event."""

    def session_features(self, unit: str) -> dict[str, Any]:
        """Return the features of a unit's session."""

    def end_session(self, unit: str) -> bool:
        """End a unit's session."""


class UnitSession:
    """The session of one unit; :meth:`edge_sdk.EdgeDevice.session` returns it.

    It begins with the first event, and is over when nothing came for the declared time; an event
    after that begins the next one. Any number of objects may stand for the session of one unit, in
    any threads.

    Attributes:
        unit: whose it is.
        is_here: it is in this process, so that no call of it waits for another one.

    Args:
        calls: of the model.
        unit: a checked text.
        is_here: the same.
    """

    def __init__(self, calls: SessionCalls, unit: str, *, is_here: bool) -> None:
        self.unit, self.is_here = unit, is_here
        self._calls = calls
        self._event = calls.session_event
        self._ended = False

    def event(self, event: Mapping[str, Any], *, at: Any = None) -> None:
        """Tell what happened.

        Args:
            event: declared fields by name; one that is left out or ``None`` changes no feature of
                it, and others are ignored.
            at: when it was: Unix seconds or a datetime; ``None`` for now.

        Raises:
            InputError: a field is not as declared, none is known, or :meth:`end` was called.
        """
        if self._ended:
            raise InputError(
                "event", f"the session of {self.unit!r:.60} was ended: open another with session()"
            )
        self._event(self.unit, event, at)

    def predict(self, x: Any = None, **options: Any) -> Prediction:
        """Answer one input, of which the session's features are part.

        Args:
            x: a dict of the columns that neither the session nor a stored entity has, or that this
                call knows better; ``None`` for none.
            **options: as for :meth:`edge_sdk.EdgeDevice.predict`.
        """
        return self._calls.predict(x, unit=self.unit, **options)

    def features(self) -> dict[str, Any]:
        """Return the values of the features now, by name."""
        return self._calls.session_features(self.unit)

    def end(self) -> bool:
        """End the session; return whether there was one. A next one begins with the defaults."""
        self._ended = True
        return self._calls.end_session(self.unit)

    def __repr__(self) -> str:
        return f"<UnitSession {self.unit!r:.60}>"
