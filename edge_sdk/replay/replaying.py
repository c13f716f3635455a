"""A history of inputs through a release, as if it had served then.

Invariants:

* The clock of the device is the history's: windows begin and end as they would have.
* Nothing is lost for speed: what waits to be counted is counted before the ring is full.
* A label is joined when it came, not when its input did.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.limits import LATEST
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import EdgeError, InputError
from edge_sdk.replay.past import Past

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.serving_terms import Reporting

COLLECT_AT: Final = 4_096
"""Inputs after which windows are collected, far below what the ring holds."""

OUT_OF_ORDER: Final = 3_600.0
"""Seconds by which a moment may be before the one ahead of it, which it then counts as."""


@dataclass
class ReplayCounts:
    """What came of a history.

    Attributes:
        answered: inputs that were answered.
        refused: inputs that do not fit the release; the reports count them by kind.
        labelled: labels that were joined.
        unmatched: labels that were refused, or whose prediction was forgotten.
        first: the first of the reasons for a refusal.
    """

    answered: int = 0
    refused: int = 0
    labelled: int = 0
    unmatched: int = 0
    first: str | None = None

    def note(self, error: EdgeError) -> None:
        """Keep the first reason."""
        self.first = self.first or str(error)


class _PastClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class HistoryReplay:
    """One replay; iterate over it once for the reports, in the order of their windows.

    Args:
        folder: release folder.
        history: inputs in the order of time.
        reporting: length of windows and other rules; see :meth:`edge_sdk.EdgeDevice.offline`.
        pack: pack of precomputed answers.
        config: limits.

    Attributes:
        counts: what came of the history so far.
    """

    def __init__(
        self,
        folder: str | Path,
        history: Iterable[Past],
        *,
        reporting: Reporting | None = None,
        pack: str | Path | None = None,
        config: DeviceConfig = DeviceConfig(),
    ) -> None:
        self.counts = ReplayCounts()
        self._clock = _PastClock()
        self._history = history
        self._labels: list[tuple[float, int, str, Any]] = []
        self._open = functools.partial(
            EdgeDevice.offline, folder, pack=pack, config=config, clock=self._clock,
            reporting=reporting, background=False,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Body]:
        """Yield the reports of each window as it ends.

        Raises:
            InputError: the history is not in the order of time.
            ReleaseError: the release does not load.
        """
        with self._open() as device:
            for i, past in enumerate(self._history):
                _check_label_time(past, i)
                self._move_to(device, past.at, i)
                self._answer(device, past, i)
                if i % COLLECT_AT == COLLECT_AT - 1:
                    yield from device.reports(final=False)
            self._give_labels(device, float("inf"))
            yield from device.reports()

    def _move_to(self, device: EdgeDevice, at: float, index: int) -> None:
        if not self._clock.now - OUT_OF_ORDER <= at <= LATEST:  # NaN is refused, too
            raise InputError(
                "replay", f"row {index}: expected a time from {self._clock.now:.0f} on (Unix "
                f"seconds), got {at}; sort the history by time",
            )  # fmt: skip
        self._give_labels(device, at)
        self._clock.now = max(at, self._clock.now)

    def _answer(self, device: EdgeDevice, past: Past, index: int) -> None:
        try:
            prediction = device.predict(past.x, groups=past.groups)
        except InputError as error:
            self.counts.refused += 1
            self.counts.note(error)
            return
        self.counts.answered += 1
        if past.label is not None:
            came = past.at if past.labelled_at is None else max(past.at, past.labelled_at)
            heapq.heappush(self._labels, (came, index, prediction.id, past.label))

    def _give_labels(self, device: EdgeDevice, until: float) -> None:
        """Join the labels that came by ``until``, each at its time."""
        while self._labels and self._labels[0][0] <= until:
            came, _, prediction, label = heapq.heappop(self._labels)
            self._clock.now = max(came, self._clock.now)
            try:
                device.feedback(prediction, label=label)
                self.counts.labelled += 1
            except InputError as error:
                self.counts.unmatched += 1
                self.counts.note(error)


def _check_label_time(past: Past, index: int) -> None:
    late = past.labelled_at
    if late is not None and not late <= LATEST:  # NaN is refused, too
        raise InputError(
            "replay",
            f"row {index}: expected labelled_at in Unix seconds up to {LATEST}, got {late}",
        )
