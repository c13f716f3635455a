"""Events of one device, for its application: told on a thread of their own.

Invariants:

* Whoever emits never waits: an event goes into a bounded queue, and a callback that hangs or raises
  holds up nothing but other callbacks. What the queue loses is counted.
* What is bad and what is over come in pairs: every ``degraded`` has a ``back`` of the same subject.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from edge_sdk.errors import InputError
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body

_log = Log(__name__)

EventKind = Literal["updated", "refused", "taken back", "waiting", "degraded", "back"]
QUEUE: Final = 256
KEPT: Final = 20
"""Events that the status names, the newest."""

OUTCOMES: Final[Mapping[str, EventKind]] = {
    "activated": "updated",
    "failed": "refused",
    "rolled_back": "taken back",
    "waiting": "waiting",
}
"""Events by what the device tells the hub of its updates."""


DAMAGE: Final = ("check", "load")
"""Steps at which files turned out damaged: no release was refused, and ``files`` is degraded."""


@dataclass(frozen=True)
class LocalEvent:
    """Something that an application or a person may want to know of.

    Attributes:
        kind: ``updated`` (a release serves), ``refused`` (one did not pass a step),
            ``taken back`` (one failed while it served or was tried), ``waiting`` (an update was put
            off), ``degraded`` (something is worse than it should be), ``back`` (it is over).
        subject: what it is about: ``release``, ``hub``, ``disk``, ``files``, ``serving``.
        text: a sentence.
        at: Unix seconds.
        model: that it is about; ``None`` where it is about the device, as of ``hub`` and ``disk``.
        version: of the release, where it is about one.
    """

    kind: EventKind
    subject: str
    text: str
    at: float
    model: str | None = None
    version: str | None = None


Callback = Callable[[LocalEvent], Any]


class LocalEvents:
    """The events of one device.

    Attributes:
        latest: the newest.
        count: of all so far.
        lost: events that nobody was told of, because callbacks were too slow.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._callbacks: tuple[Callback, ...] = ()
        self._waiting: deque[LocalEvent] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False
        self.latest: deque[LocalEvent] = deque(maxlen=KEPT)
        self.count = self.lost = 0

    def emit(
        self, kind: EventKind, subject: str, text: str,
        model: str | None = None, version: str | None = None,
    ) -> None:  # fmt: skip
        """Note an event; who listens is told soon, on another thread."""
        event = LocalEvent(kind, subject, text, self._clock(), model, version)
        with self._lock:
            self.latest.append(event)
            self.count += 1
            if not self._callbacks:
                return
            if len(self._waiting) >= QUEUE:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(event)
        self._wake.set()

    def of_message(self, body: Body) -> None:
        """Note the event that a message to the hub tells of, if it is one."""
        outcome = getattr(body, "outcome", None)
        kind = OUTCOMES.get(outcome) if isinstance(outcome, str) else None
        model, version = getattr(body, "model", None), getattr(body, "version", None)
        step, reason = getattr(body, "step", None), getattr(body, "reason", None)
        if kind is None or step in DAMAGE:
            return
        where, why = f" at {step}" if step else "", f": {reason}" if reason else ""
        self.emit(kind, "release", f"{model} {version} {kind}{where}{why}", model, version)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each event from now on; return a function that ends that.

        Raises:
            InputError: it is no function.
        """
        if not callable(callback):
            raise InputError("opening", f"on_event: expected a function, got {callback!r:.60}")
        with self._lock:
            self._callbacks = (*self._callbacks, callback)
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._run, name="edge-events", daemon=True)
                self._thread.start()

        def cancel() -> None:
            with self._lock:
                # Only one of them, where the same function listens twice.
                left = list(self._callbacks)
                if callback in left:
                    left.remove(callback)
                self._callbacks = tuple(left)

        return cancel

    def close(self, timeout: float) -> None:
        """Tell what waits, and end; waits up to ``timeout`` seconds for callbacks."""
        with self._lock:
            self._ended, thread = True, self._thread
        self._wake.set()
        # A callback may close its device: a thread cannot wait for itself.
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._tell(self._waiting.popleft())
            if self._ended:
                return

    def _tell(self, event: LocalEvent) -> None:
        for callback in self._callbacks:
            try:
                callback(event)
            except (Exception, SystemExit):  # sys.exit() would end the thread without a word
                _log.exception("on_event failed at %r", event.text)


Subject = tuple[str, str | None]
"""What an event is about, and of which model; ``None`` where it is the device's."""

Conditions = Mapping[Subject, str]
"""Why each subject is worse than it should be; those that are well are left out."""

AGAIN: Final[Mapping[str, str]] = {
    "hub": "the hub answers again",
    "disk": "the state is on the disk again",
    "files": "the files are whole again",
    "serving": "a release serves again",
}


class ConditionWatch:
    """Tells where something gets worse, and where it is over."""

    def __init__(self, events: LocalEvents) -> None:
        self._events = events
        self._before: Conditions = {}

    def look(self, now: Conditions) -> None:
        """Emit the difference to the last look."""
        before, self._before = self._before, dict(now)
        for what, model in now.keys() - before.keys():
            self._events.emit("degraded", what, now[what, model], model)
        for what, model in before.keys() - now.keys():
            again = AGAIN.get(what, f"{what} is well again")
            self._events.emit("back", what, again if model is None else f"{model}: {again}", model)
