"""Asks whoever may put an update off, and remembers since when one has been."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import InputError
from edge_sdk.hub.news import DownloadSpread
from edge_sdk.system.logs import Log
from edge_sdk.system.windows import parse_windows
from edge_sdk.update.admission import (
    Conditions,
    OnUpdate,
    Step,
    UpdateOffer,
    Wait,
    decide,
)
from edge_sdk.update.floors import stored_floors

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.update.model_state import ModelState
    from edge_sdk.update.state import SlotRef

_log = Log(__name__)
_KEY: Final = "put_off"


@dataclass(frozen=True)
class UpdateHooks:
    """What an application has to say on updates; see :class:`edge_sdk.EdgeDevice`."""

    on_update: OnUpdate | None = None
    metered: Callable[[], bool] | None = None
    spread: DownloadSpread = field(default_factory=DownloadSpread)

    def __post_init__(self) -> None:
        for name in ("on_update", "metered"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise InputError("opening", f"{name}: expected a function, got {hook!r:.60}")


class Gatekeeper:
    """Admits the updates of one model on a device.

    Args:
        store: remembers what was put off; the newest signed time is in what is shared.
        config: windows, and for how long an update may be put off.
        hooks: of the application.
        clock: Unix seconds.
        told: called once where an update begins to wait: slot, what serves, the reason.
    """

    def __init__(
        self,
        store: ModelState,
        config: DeviceConfig,
        hooks: UpdateHooks,
        clock: Callable[[], float],
        told: Callable[[SlotRef, SlotRef, str], None],
    ) -> None:
        self._store = store
        self._windows = parse_windows(config.update_windows)
        self._limit = config.update_defer_seconds
        self._hooks = hooks
        self._clock = clock
        self._told = told
        self._ask_again: tuple[str, float] = ("", 0.0)
        self._said: set[tuple[str, str, str]] = set()
        self._waits: dict[str, dict[str, Any]] = {}

    @property
    def waiting(self) -> dict[str, Any] | None:
        """Return what waits, for the status; ``None`` if nothing does."""
        return next(iter(self._waits.values()), None)

    def ask(self, step: Step, slot: SlotRef, serving: SlotRef | None) -> Wait | None:
        """Return why the next step of an update waits; ``None`` if it goes on.

        Args:
            step: that comes next.
            slot: that is to come.
            serving: that answers now; without one nothing waits.
        """
        if serving is None:
            return None
        at = self._conditions(slot)
        wait = decide(self._windows, self._limit, step, at)
        if wait is None:  # only now: an application is not asked what cannot happen anyway
            at = replace(at, answer=self._answer(step, slot, serving, at))
            wait = decide(self._windows, self._limit, step, at)
        self._waits.pop(slot.name, None)
        if wait is None:
            return None
        until = {"reason": wait.reason, "until": wait.until}
        self._waits[slot.name] = {"version": slot.version, "step": step} | until
        # A window is not counted: it opens by itself, and the application has its full time.
        if at.since is None and wait.reason != "window":
            self._remember({**self._put_off(), slot.name: at.counted})
        said = (slot.name, step, wait.reason)
        if said not in self._said:
            self._said.add(said)
            self._told(slot, serving, f"{step}: {wait.reason}, until {_moment(wait.until)}")
        return wait

    def closed(self) -> str | None:
        """Return why downloads of other things than releases wait; ``None`` if they need not.

        The application is not asked: its word is for updates.
        """
        wait = decide(self._windows, self._limit, "download", self._now(None))
        return None if wait is None else f"downloads wait ({wait.reason})"

    def done(self, slot: SlotRef) -> None:
        """Forget that a slot was put off: it is here, or nobody wants it any more."""
        self._waits.pop(slot.name, None)
        put_off = self._put_off()
        if put_off.pop(slot.name, None) is not None:
            self._remember(put_off)

    def only(self, slots: Iterable[SlotRef]) -> None:
        """Forget every slot but ``slots``, which the plan wants."""
        names = {slot.name for slot in slots}
        self._waits = {name: wait for name, wait in self._waits.items() if name in names}
        self._said = {said for said in self._said if said[0] in names}
        put_off = self._put_off()
        if not put_off.keys() <= names:
            self._remember({name: at for name, at in put_off.items() if name in names})

    def _put_off(self) -> dict[str, float]:
        """Since when each slot has been put off, by its name."""
        return dict(self._store.get(_KEY) or {})

    def _remember(self, put_off: dict[str, float]) -> None:
        self._store.put(_KEY, put_off)

    def _now(self, since: float | None) -> Conditions:
        floors = stored_floors(self._store.shared.get("trust_floors")).get("time", ())
        signed = float(max((floor.value for floor in floors), default=0))
        spread = self._hooks.spread.left
        return Conditions(self._clock(), signed, since, self._metered(), spread=spread)

    def _conditions(self, slot: SlotRef) -> Conditions:
        at = self._now(self._put_off().get(slot.name))
        if at.since is not None and at.since > at.counted:
            # The clock went back: what was waited is not known, so it counts from now on.
            self._remember({**self._put_off(), slot.name: at.counted})
            at = replace(at, since=at.counted)
        return at

    def _metered(self) -> bool:
        if self._hooks.metered is None:
            return False
        try:
            return bool(self._hooks.metered())
        except Exception:
            _log.exception("metered() failed; the network is taken to be one that costs")
            return True

    def _answer(
        self, step: Step, slot: SlotRef, serving: SlotRef, at: Conditions
    ) -> bool | float | None:
        """Return the application's word; one that named a time is not asked before it."""
        if self._hooks.on_update is None:
            return None
        name, again = self._ask_again
        if name == slot.name and again > at.now:
            return again - at.now
        waited = 0.0 if at.since is None else at.counted - at.since
        model = self._store.model
        offer = UpdateOffer(model, step, slot.version, serving.version, waited, self._limit)
        try:
            answer = self._hooks.on_update(offer)
        except Exception:
            _log.exception("on_update failed; the update to %s is put off", slot.version)
            return False
        if answer is None or isinstance(answer, bool):
            return answer
        if not _is_time(answer):
            _log.warning("on_update: expected True, False or seconds, got %.60r", answer)
            return False
        self._ask_again = (slot.name, at.now + answer)
        return answer


def _is_time(answer: object) -> bool:
    return isinstance(answer, int | float) and math.isfinite(answer)


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
