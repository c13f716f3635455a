"""Replays logs of events: what a device would have joined, for trainings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from edge_sdk.sessions.running_features import RunningFeatures, RunningState


class LogMark(Enum):
    """An entry of a log that is no event."""

    ASK = "ask"
    """The features were asked for: a prediction was made."""

    END = "end"
    """The application ended the session."""


def replay(
    rules: RunningFeatures, log: Iterable[tuple[float, Mapping[str, Any] | LogMark]]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield what one unit's device joined whenever it was asked.

    It is the device's own code, so the values are the same ones to the bit, as far as the C
    libraries of both machines agree on powers of two (decays).

    Args:
        rules: of the declared features.
        log: when (Unix seconds) and what, in the order in which it happened.

    Yields:
        The features by name, and whether the unit had a session, for each :attr:`LogMark.ASK`.

    Raises:
        InputError: an event is none that a device takes.
    """
    state: RunningState | None = None
    for at, what in log:
        if what is LogMark.ASK:
            yield rules.values(state, at), state is not None and not rules.is_over(state, at)
        elif what is LogMark.END:
            state = None
        else:
            event = rules.checked(what)
            if state is None:
                state = rules.begin(at)
            rules.update(state, event, at)
