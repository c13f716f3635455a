"""The interface of an experiment on a device, and what several of them need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edge_sdk.errors import ReleaseError

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.window import Window
    from edge_sdk.model.release import Release
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.serving.ranking import Item, Ranking


class RunningExperiment(Protocol):
    """An experiment that runs beside what serves; the methods that it leaves out do nothing.

    Attributes:
        candidates: by arm; they answer, are counted, or are only compared, as the strategy says.
    """

    candidates: Mapping[str, Predictor]

    def serving_for(self, unit: str) -> Predictor | None:
        """Return the predictor for ``unit``, a checked key; ``None`` for what serves.

        Only an A/B by key has others.
        """
        return None

    def rank(self, x: Any, candidates: Sequence[Item] | None, length: int | None) -> Ranking | None:
        """Return a ranking mixed of several; ``None`` where this request gets what serves.

        Args:
            x: the input, as for :meth:`EdgeDevice.predict_ranking`.
            candidates: the items to rank; ``None`` for a model that scores all of its own.
            length: number of items at most; ``None`` for all.

        Raises:
            InputError: the input does not fit, or what serves gives no scores.
            ReleaseError: what serves failed.
        """
        return None

    def clicked(self, name: str, clicks: Sequence[Item]) -> bool:
        """Credit clicks on the ranking ``name``; return whether it is one that it mixed.

        Raises:
            InputError: an item was not shown, or the clicks came already.
        """
        return False

    def servings(self) -> Iterator[Predictor]:
        """Yield those whose predictions an application may hold and whose monitors report."""

    def answered(self, arm: str) -> bool:
        """Return whether the candidate of ``arm`` has answered at all."""

    def failure(self, now: float, errors: int) -> tuple[str, str] | None:
        """Return an arm that fails and the reason, or ``None``.

        Args:
            now: monotonic seconds.
            errors: failed calls that make a failure; so does a call that does not end.
        """

    def labelled(self, tag: str, number: str, label: Label | float) -> None:
        """Take note of a late label.

        Args:
            tag: of the predictor that answered.
            number: of the prediction.
            label: the right answer.
        """
        return

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        """Return the messages of windows that ended by ``now``, Unix seconds (``final``: all)."""

    def pause(self, *, paused: bool) -> None:
        """Leave out what can be left out, while power costs; nothing where that is nothing."""
        return

    def close(self) -> None:
        """End it; nothing more is offered to it."""


def failing(candidates: Mapping[str, Predictor], errors: int) -> tuple[str, str] | None:
    """Return the first candidate whose model failed on ``errors`` inputs, and a sentence."""
    for arm, serving in candidates.items():
        if serving.errors >= errors:
            return arm, f"the model failed on {errors} inputs"
    return None


def check_same_inputs(incumbent: Release, candidate: Release) -> None:
    """Refuse a candidate that cannot answer what the incumbent is asked.

    Raises:
        ReleaseError: it takes other inputs, or one of them keeps a state from call to call.
    """
    ours, theirs = incumbent.manifest.signature, candidate.manifest.signature
    if ours.inputs != theirs.inputs or ours.columns != theirs.columns:
        ours_v, theirs_v = incumbent.manifest.version, candidate.manifest.version
        raise ReleaseError(f"{theirs_v} takes other inputs than {ours_v}: they cannot be compared")
    if ours.state or theirs.state:
        raise ReleaseError("a model with recurrent state is compared by A/B or canary, by device")


class CandidateWindows:
    """The windows that a candidate is counted in; ``start`` is that of the current one."""

    def __init__(self, candidate: Predictor, now: float) -> None:
        self._candidate = candidate
        self._length = candidate.terms.reporting.window_seconds
        self.start = self.of(now)

    def of(self, now: float) -> int:
        """Return the start of the window that holds ``now``, Unix seconds."""
        return int(now // self._length) * self._length

    def ended(self, now: float) -> bool:
        """Return whether ``now`` is in another window than the current one."""
        return self.of(now) != self.start

    def turn(self, now: float) -> Window:
        """Make the window of ``now`` current, and return the one that was."""
        ended, self.start = self.start, self.of(now)
        return self.named(ended)

    def named(self, start: int) -> Window:
        """Return the window that begins at ``start``, as the candidate's."""
        return self._candidate.window(start)
