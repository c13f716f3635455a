"""One sync: reports up, plan down, update applied. Each part fails on its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from edge_sdk.contract.fleet import DeviceLog
from edge_sdk.contract.limits import UPLOAD_MESSAGES
from edge_sdk.errors import EdgeError, HubBusy, HubError, HubUnreachable, IdentityRefused
from edge_sdk.hub.news import DownloadSpread
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.contract.fleet import CheckIn
    from edge_sdk.contract.plan import Plan
    from edge_sdk.hub.client import HubClient
    from edge_sdk.hub.outbox import Outbox
    from edge_sdk.state_db import StateDatabase
    from edge_sdk.update.trust import Trust

_log = Log(__name__)

T = TypeVar("T")
DAY: Final = 86_400.0
"""Metadata is refreshed at least this often, changed or not, so that its expiry is noticed."""

ANSWERED_SECONDS: Final = 1_800.0
"""At most between two writings of when the hub last answered."""

_ANSWERED: Final = "hub_answered"

UNREADABLE: Final = (413, 422)
"""HTTP statuses by which an upload is refused for what it holds: it will never be taken."""


@dataclass(frozen=True)
class SyncResult:
    """The outcome of a sync.

    Attributes:
        sent: messages that the hub took.
        plans: serial of the plan that was followed, by model; nothing of models without news.
        updates: what following it came to, by model, where it is not ``unchanged``.
        errors: what went wrong, by part: ``reports``, ``plan``, ``checkin``, and of each model
            ``plan``, ``update``, ``entities``, which on a device of several models have the model's
            name before them, as in ``digits: update``. Empty means that all went well.
        retry_after: seconds that a busy hub asks to wait.
        refused: how the hub sees an identity that it does not take (``pending``, ``revoked``,
            ``cloned``, ``unknown``).
        next_sync: seconds until the next sync that the hub asked for; 0 for no wish.
    """

    sent: int = 0
    plans: dict[str, int] = field(default_factory=dict)
    updates: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    retry_after: float = 0.0
    refused: str | None = None
    next_sync: float = 0.0

    @property
    def reached(self) -> bool:
        """Return whether every part went well."""
        return not self.errors

    @property
    def plan(self) -> int | None:
        """Return the serial of the plan that was followed; of several models the first one's."""
        return next(iter(self.plans.values()), None)

    @property
    def update(self) -> str:
        """Return what the plan came to; of several models the first that is not ``unchanged``."""
        return next(iter(self.updates.values()), "unchanged")


class Followed(Protocol):
    """A model as a sync sees it."""

    def follow(self, plan: Plan) -> str:
        """Make a verified plan take effect, and return what that came to; raises EdgeError."""

    def follow_entities(self) -> None:
        """Bring the answers by entity that the hub has for this device; raises EdgeError."""


def _no_log() -> DeviceLog:
    return DeviceLog(allowed=False)


class Syncer:
    """Talks with the hub when told to: one check-in and one poll for all models.

    What goes wrong with one model keeps none of the others waiting.

    Attributes:
        answered: when the hub last answered, Unix seconds; ``None`` for never.
        away: why it did not at the last sync; ``None`` where it did.

    Args:
        store: of the device; it is written back to the disk here once that takes it again.
        outbox: what is sent.
        client: of the hub.
        trust: what is believed.
        models: that are followed, by name; some may join later.
        describe: the check-in as things stand.
        heartbeat: seconds after which an unchanged check-in is sent again.
        clock: Unix seconds.
        spread: keeps downloads back where a whole fleet learned of news at once.
        log: what the hub is given where it asks for this device's log.
    """

    def __init__(
        self,
        store: StateDatabase,
        outbox: Outbox,
        client: HubClient,
        trust: Trust,
        models: Mapping[str, Followed],
        *,
        describe: Callable[[], CheckIn],
        heartbeat: float,
        clock: Callable[[], float],
        spread: DownloadSpread | None = None,
        log: Callable[[], DeviceLog] = _no_log,
    ) -> None:
        self._device_log = log
        self._spread = spread or DownloadSpread()
        self._store = store
        self._outbox = outbox
        self._client = client
        self._trust = trust
        self._models = models
        self._describe = describe
        self._heartbeat = heartbeat
        self._clock = clock
        self._etag: str | None = None
        self._waiting: dict[str, Plan] = {}
        self._refreshed = 0.0
        self._last_checkin: tuple[CheckIn, float] | None = None
        self._away_since: float | None = None
        self.away: str | None = None
        self._answered_kept: float | None = store.get(_ANSWERED)
        self.answered = self._answered_kept
        self._warned: dict[str, str] = {}

    def once(self) -> SyncResult:
        """Send what waits, ask for news, follow them, check in; within one deadline."""
        with self._client.conversation():
            return self._once()

    def _once(self) -> SyncResult:
        errors: dict[str, Exception] = {}
        self._client.ask_again()
        self._store.return_to_disk()
        sent = self._part(errors, "reports", self._send) or 0
        plans = self._plans(errors)
        updates: dict[str, str] = {}
        for name, model in self._in_turn():
            update = self._follow(errors, name, model, plans.get(name))
            if update is not None:
                updates[name] = update
        self._answer_asks()
        self._part(errors, "checkin", self._check_in)
        self._note_answer(errors)
        self._log(errors)
        reasons = {name: str(error) for name, error in errors.items()}
        return SyncResult(
            sent,
            {name: plan.serial for name, plan in plans.items()},
            {name: update for name, update in updates.items() if update != "unchanged"},
            reasons,
            max((e.retry_after for e in errors.values() if isinstance(e, HubBusy)), default=0.0),
            next((e.standing for e in errors.values() if isinstance(e, IdentityRefused)), None),
            self._client.advice.next_sync,
        )

    def _plans(self, errors: dict[str, Exception]) -> dict[str, Plan]:
        """Return the plans to follow: new ones, and those of which something was put off."""
        # What was put off is tried again without asking the hub for what it said before.
        plans = dict(self._waiting)
        for name, news in (self._part(errors, "plan", self._news) or {}).items():
            if isinstance(news, Exception):
                errors[self._named(name, "plan")] = news
                self.ask_again()
            elif news is not None:
                plans[name] = news
        return plans

    def _in_turn(self) -> list[tuple[str, Followed]]:
        """Return the models, those that had trouble last time after the others."""
        models = list(self._models.items())
        return sorted(models, key=lambda item: self._named(item[0], "update") in self._warned)

    def _follow(
        self, errors: dict[str, Exception], name: str, model: Followed, plan: Plan | None
    ) -> str | None:
        update, named = None, self._named(name, "update")
        if plan is not None:
            update = self._part(errors, named, lambda: model.follow(plan))
            self._waiting.pop(name, None)
            if update == "waiting":
                self._waiting[name] = plan
            if named in errors:
                self.ask_again()
        if self._refreshed and not {"plan", self._named(name, "plan")} & errors.keys():
            self._part(errors, self._named(name, "entities"), model.follow_entities)
        return update

    def _named(self, model: str, part: str) -> str:
        """Return the name under which a model's part of a sync is reported."""
        return part if len(self._models) < 2 else f"{model}: {part}"

    def ask_again(self) -> None:
        """Follow the plan at the next sync even if nothing has changed on the hub."""
        self._etag = None

    def _part(self, errors: dict[str, Exception], name: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (EdgeError, OSError) as error:  # of the disk; the network's are EdgeErrors
            errors[name] = error
            return None

    def _note_answer(self, errors: Mapping[str, Exception]) -> None:
        """Note whether the hub answered; on the disk now and then, for who looks after a restart.

        A refusal is an answer.
        """
        silent = [e for e in errors.values() if isinstance(e, HubUnreachable)]
        self.away = str(silent[0]) if silent else None
        if isinstance(errors.get("plan"), HubUnreachable):
            return
        self.answered = now = self._clock()
        kept = self._answered_kept
        if kept is None or not 0 <= now - kept < ANSWERED_SECONDS:
            self._answered_kept = now
            self._part({}, "answered", lambda: self._store.put(_ANSWERED, now))

    def _log(self, errors: dict[str, Exception]) -> None:
        """Log that the hub went or came, and other trouble once for as long as it stays the same.

        A sync comes every few seconds: the same line again and again would hide the others.
        """
        now = self._clock()
        unreachable = [e for e in errors.values() if isinstance(e, HubUnreachable)]
        if unreachable and self._away_since is None:
            self._away_since = now
            _log.info("the hub is away: %s", unreachable[0])
        elif not unreachable and self._away_since is not None:
            _log.info("the hub is back, after %.0f s", now - self._away_since)
            self._away_since = None
        trouble = {n: str(e) for n, e in errors.items() if not isinstance(e, HubUnreachable)}
        for name, reason in trouble.items():
            if self._warned.get(name) != reason:
                _log.warning("sync: %s: %s", name, reason)
        self._warned = trouble

    def _send(self) -> int:
        """Send what waits; a message that makes the hub refuse an upload is found and dropped.

        The hub refuses messages one by one. Where it, or a proxy with a limit, refuses a whole
        upload, smaller ones are tried: one message must not keep back all that come after it.
        """
        sent, most = 0, UPLOAD_MESSAGES
        while (upload := self._outbox.batch(most)) is not None:
            count = len(upload.messages)
            try:
                self._outbox.settle(upload, self._client.upload(upload))
            except HubError as error:
                if error.status not in UNREADABLE:
                    raise
                if count > 1:
                    most = count // 2
                    continue
                self._outbox.drop(upload, str(error))
            else:
                sent += count
        return sent

    def _news(self) -> dict[str, Plan | EdgeError | None] | None:
        """Return the verified plans, if there may be new ones."""
        now = self._clock()
        stale = now - self._refreshed >= DAY
        etag = self._client.changed(None if stale else self._etag)
        if etag is None:
            return None
        news = self._trust.refresh()
        self._etag, self._refreshed = etag, now
        return news

    def await_news(self, seconds: float) -> bool:
        """Wait at the hub until there is news; return whether there is any.

        Args:
            seconds: to wait at most, one at least.
        """
        etag = self._etag
        if etag is None or self.away is not None:
            return False  # there is something to ask, and a time for it
        try:
            news = self._client.changed(etag, wait=int(seconds)) is not None
        except (EdgeError, OSError):
            return False  # the next sync says what is wrong
        if news:
            self._spread.begin(self._client.advice.spread)
        return news or bool(self._client.advice.asks)

    @property
    def downloads_wait(self) -> float:
        """Seconds until downloads begin that are spread over a fleet; 0 if none are."""
        return self._spread.left

    def _answer_asks(self) -> None:
        """Send the log where the hub asks for it; trouble with it is none of the sync."""
        if "logs" not in self._client.advice.asks:
            return
        try:
            self._client.send_log(self._device_log())
        except EdgeError as error:  # it asks again, as long as somebody wants to know
            _log.info("the hub asked for the log, and did not get it: %s", error)

    def _check_in(self) -> None:
        checkin, now = self._describe(), self._clock()
        if not self._client.advice.asks and self._last_checkin is not None:
            last, at = self._last_checkin
            same = replace(last, waiting=0) == replace(checkin, waiting=0)
            if same and now - at < self._heartbeat:
                if self._client.advice.cached:
                    self._client.alive()
                return
        self._client.checkin(checkin)
        self._last_checkin = (checkin, now)


REFUSED_SECONDS: Final = 6 * 3_600.0
"""Seconds until a device asks again whose identity was revoked, cloned or forgotten: only a person
at the hub can change that, and whoever stole it must not keep the hub busy."""


class SyncSchedule:
    """The time of the next sync: in step with ``config``, later after each failure in a row."""

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self._failures = 0
        self._random = random.Random()

    def after(self, result: SyncResult) -> float:
        """Return the seconds to wait after a sync that came to ``result``."""
        config = self._config
        if result.reached:
            self._failures = 0
            return jittered(max(config.sync_seconds, result.next_sync), self._random)
        self._failures += 1
        if result.refused not in (None, "pending"):
            return jittered(REFUSED_SECONDS, self._random)
        longest = config.retry_max_seconds
        wait = backoff(self._failures, config.retry_seconds, longest, self._random)
        # Never before the hub's time, and not all of a fleet at that very moment.
        return max(wait, result.retry_after * self._random.uniform(1.0, 1.5))


def backoff(failures: int, first: float, longest: float, random_: random.Random) -> float:
    """Return the seconds to wait: full jitter under a doubling bound.

    Args:
        failures: in a row, one at least.
        first: bound after the first one, seconds.
        longest: bound after many, seconds.
        random_: source of the jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    # The exponent is bounded, or a month without a hub would overflow the float.
    bound = min(longest, first * 2 ** min(failures - 1, 30))
    return random_.uniform(0, bound)


def jittered(seconds: float, random_: random.Random) -> float:
    """Return ``seconds`` give or take a fifth, so that a fleet does not poll in step."""
    return seconds * random_.uniform(0.8, 1.2)
