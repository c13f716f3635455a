"""The loop: renewals, plans, monitoring, triggers, runs, experiments, batches, packs, on and on.

Only one process of a hub loops: its leader (:mod:`cloud_hub.database.leader`). Parts are isolated
from each other: the error of one is shown in the hub's health until it works again, and the others
go on. They wait for each other, so none may take longer than what the others can be late by: a
timestamp is signed anew half a day before it ends, a run's gate ends after minutes. Each part reads
from the database what is due, so that it does nothing twice where the leader changes within it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from cloud_hub.database.leader import Leadership

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 30.0
"""Longest wait for the tick under way when the hub ends."""


class Loop:
    """Runs :meth:`tick` on a thread, again and again.

    Args:
        parts: the work, by name, in its order; each is given the time in Unix seconds.
        seconds: from the end of one tick to the next; 0 for never.
        leadership: says whether this process is the one that loops.
        ended: called when another process has led since this one did: ends what this one began.

    Attributes:
        parts: the work, by name, in its order.
        leads: this process is the one that loops.
        errors: of parts that fail, by their name.
        ticked_at: monotonic seconds at the end of the last tick.
    """

    def __init__(
        self,
        parts: Mapping[str, Callable[[float], object]],
        seconds: float,
        leadership: Leadership,
        *,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self.parts = parts
        self.seconds = seconds
        self.leadership = leadership
        self._ended = ended
        self.leads = False
        self._term = 0  # in which it led last
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-loop", daemon=True)
        self.errors: dict[str, str] = {}
        self.ticked_at = time.monotonic()

    def start(self) -> None:
        """Begin, unless ``seconds`` is 0."""
        if self.seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """End after the tick under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)
        self.leadership.close()

    def tick(self, now: float) -> None:
        """Do the work of every part once; within the loop, as long as this process leads."""
        for name, part in self.parts.items():
            if self._over():
                return
            try:
                part(now)
            except Exception as error:
                if self._over():
                    log.info("the loop's part %s was ended: another worker leads by now", name)
                    return
                self._failed(name, error)
            else:
                if self.errors.pop(name, None) is not None:
                    log.info("the loop's part %s works again", name)

    def _failed(self, name: str, error: Exception) -> None:
        # Logged once and not every second, until the error is another one.
        if self.errors.get(name) != repr(error):
            log.exception("the loop's part %s failed", name)
        self.errors[name] = repr(error)

    def _over(self) -> bool:
        """Return whether this process led as the tick began, and does no more."""
        return self.leads and not self.leadership.holds()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            if self._leads():
                with self.leadership.fence():
                    self.tick(time.time())
                self.ticked_at = time.monotonic()

    def _leads(self) -> bool:
        """Take the lead, unless another process of the hub has it."""
        leads = self.leadership.take()
        term = self.leadership.status().term
        # Not where nobody has led since, such as in a minute without a database.
        if self._term and term > self._term + leads:
            self.errors.clear()  # the new leader tells its own
            self._end()
        if leads is not self.leads:
            self.leads = leads
            log.info("this process %s the hub's loop", "runs" if leads else "no longer runs")
        if leads:
            self._term = term
        return leads

    def _end(self) -> None:
        self._term = 0
        try:
            self._ended()
        except Exception:
            log.exception("what the loop had begun could not be ended")
