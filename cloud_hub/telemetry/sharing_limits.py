"""What the plans of a model let one device share: rows, tensors, and votes for keys of packs.

A device is held to what its plans ask of it, whatever it sends. Nothing is taken while the plan in
force asks for nothing. The figures are those that honest devices keep: so many rows a window in
which their labels come, so many keys a window. A label comes after its prediction, so of the rows
predicted since any moment there are no more than the windows since then allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from cloud_hub.errors import Invalid
from cloud_hub.plans.stored import plans_after
from cloud_hub.telemetry.tables import samples, tensor_samples, votes
from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS
from edge_sdk.contract.messages import KeyVotes, SampleBatch, TensorSample
from edge_sdk.contract.plan import Plan

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.telemetry.sender import Sender
    from edge_sdk.contract.messages import Body

VOTES_SECONDS: Final = 7 * 86_400
"""Age of a period whose votes still count: a device may have been offline."""

SPARE_WINDOWS: Final = 2
"""Windows more than have passed: the one under way, and one that a restart began anew."""

GROUPS: Final = 500
"""Stored rows are counted in so many stretches of time."""


@dataclass(frozen=True)
class SharingTerms:
    """What plans ask of a device from one moment on.

    Attributes:
        since: Unix seconds at which the first plan with these terms was made.
        per_window: rows a window, of each release that answers; 0 if none are asked for.
        votes: keys a window, likewise.
        window_seconds: length of a window.
        releases: that may answer on one device at a time.
        tensor_bytes: compressed bytes a window of inputs that are no table, likewise.
    """

    since: float
    per_window: int
    votes: int
    window_seconds: int
    releases: int
    tensor_bytes: int = 0

    @classmethod
    def of(cls, plan: Plan | Policy, since: float, releases: int) -> SharingTerms:
        """Return the terms of a plan, or of the policy that the next plan will follow.

        Args:
            plan: the plan, or the policy.
            since: when it was made, Unix seconds.
            releases: that may answer on one device at a time.
        """
        sharing, reporting = plan.sharing, plan.reporting
        rows = sharing.per_window if sharing.samples else 0
        seconds, most = reporting.window_seconds, sharing.tensor_bytes if rows else 0
        return cls(since, rows, reporting.votes, seconds, releases, most)

    @property
    def rows(self) -> int:
        """Rows a window, of all releases."""
        return self.per_window * self.releases

    @property
    def bytes(self) -> int:
        """Compressed bytes a window, of all releases."""
        return self.tensor_bytes * self.releases

    def same(self, other: SharingTerms) -> bool:
        """Return whether both ask the same."""
        return (*vars(self).values(),)[1:] == (*vars(other).values(),)[1:]


Cap = Callable[[SharingTerms], int]


def allowance(
    terms: Sequence[SharingTerms], begin: float, now: float, cap: Cap = attrgetter("rows")
) -> int:
    """Return how much, predicted at ``begin`` or later, one device may have shared by ``now``.

    Args:
        terms: of the model's plans, in order of time.
        begin: Unix seconds.
        now: Unix seconds.
        cap: how much the terms allow a window: rows, or bytes.
    """
    if not terms:
        return 0
    ends = [*(later.since for later in terms[1:]), now]
    most = 0
    for each, end in zip(terms, ends, strict=True):
        # Devices hear of a plan later than it is made, and may then follow it longer.
        passed = min(end, now) - max(each.since, begin)
        if passed > 0:
            most += cap(each) * math.ceil(passed / each.window_seconds)
    return most + SPARE_WINDOWS * max(map(cap, terms), default=0)


def check_rate(
    terms: Sequence[SharingTerms],
    taken: Iterable[int],
    stored: Mapping[int, int],
    stretch: int,
    now: float,
) -> None:
    """Refuse rows that are more than the terms allow.

    Args:
        terms: of the model's plans, in order of time.
        taken: when the new rows were predicted, Unix seconds.
        stored: rows of the device that are there, by the beginning of a stretch of time.
        stretch: its length in seconds.
        now: Unix seconds.

    Raises:
        Invalid: says how many are allowed.
    """
    counts = dict(stored)
    for moment in taken:
        begin = moment // stretch * stretch
        counts[begin] = counts.get(begin, 0) + 1
    _check_sums(terms, counts, now, attrgetter("rows"), "rows")


def _check_sums(
    terms: Sequence[SharingTerms], counts: Mapping[int, int], now: float, cap: Cap, what: str
) -> None:
    since_then = 0
    for begin in sorted(counts, reverse=True):
        since_then += counts[begin]
        most = allowance(terms, begin, now, cap)
        if since_then > most:
            raise Invalid(
                f"samples: this device shared {since_then} {what} that were predicted since "
                f"{begin}; its plans ask for at most {most}"
            )


class SharingLimits:
    """Terms of every model's plans, read once and then as plans are added."""

    def __init__(self) -> None:
        self._terms: dict[str, tuple[int, tuple[SharingTerms, ...]]] = {}

    def terms(
        self, db: Connection, model: str, policy: Policy, now: float
    ) -> tuple[SharingTerms, ...]:
        """Return the terms of a model's plans in order of time, and of its policy; none at first.

        Args:
            db: an open transaction.
            model: name of the model.
            policy: in force for it.
            now: Unix seconds.
        """
        serial, terms = self._terms.get(model, (0, ()))
        for stored in plans_after(db, model, serial):
            serial, plan = stored.serial, Plan.from_json(stored.text.encode())
            terms = _followed(terms, SharingTerms.of(plan, stored.at, _releases(plan)))
        self._terms[model] = serial, terms
        if not terms:
            return ()
        # The policy decides at once: what it no longer asks for is not taken any more, though
        # devices hear of it later.
        return _followed(terms, SharingTerms.of(policy, now, terms[-1].releases))


class DeviceSharing:
    """Limits of one device within one upload.

    Args:
        limits: of all models.
        db: transaction that will store the messages.
        sender: the device, locked if it shares anything.
        policy: in force for its model.
        now: Unix seconds.
    """

    def __init__(
        self, limits: SharingLimits, db: Connection, sender: Sender, policy: Policy, now: float
    ) -> None:
        self._limits, self._db, self._sender = limits, db, sender
        self._policy, self._now = policy, now

    def check(self, body: Body) -> None:
        """Refuse rows or votes that the plans do not ask for; other messages pass.

        Raises:
            Invalid: says what the plans ask for.
        """
        if isinstance(body, SampleBatch) and body.rows:
            self._check_samples(body)
        elif isinstance(body, TensorSample):
            self._check_tensors(body)
        elif isinstance(body, KeyVotes) and body.keys:
            self._check_votes(body)

    @cached_property
    def _terms(self) -> tuple[SharingTerms, ...]:
        return self._limits.terms(self._db, self._sender.model, self._policy, self._now)

    def _check_samples(self, batch: SampleBatch) -> None:
        terms, now = self._terms, self._now
        if not terms or not terms[-1].rows:
            raise Invalid(f"samples: the plan of {batch.model} asks for none; see its policy")
        first = min(batch.taken)
        self._check_times(first, max(batch.taken))
        stretch = self._stretch(first)
        stored = self._shared(samples, func.count(), batch.model, first, stretch)
        check_rate(terms, batch.taken, stored, stretch, now)

    def _check_tensors(self, sample: TensorSample) -> None:
        terms, now, taken = self._terms, self._now, sample.taken
        if not terms or not terms[-1].bytes:
            raise Invalid(f"tensors: the plan of {sample.model} asks for none; see its policy")
        self._check_times(taken, taken)
        stretch = self._stretch(taken)
        counts = self._shared(tensor_samples, func.count(), sample.model, taken, stretch)
        check_rate(terms, [taken], counts, stretch, now)
        total = func.sum(tensor_samples.c.bytes)
        sizes = self._shared(tensor_samples, total, sample.model, taken, stretch)
        begin = taken // stretch * stretch
        sizes[begin] = sizes.get(begin, 0) + size_of(sample)
        _check_sums(terms, sizes, now, attrgetter("bytes"), "bytes of tensors")

    def _check_times(self, first: int, last: int) -> None:
        if last > self._now + CLOCK_SKEW_SECONDS:
            raise Invalid(f"samples: taken in the future ({last}); check the clock")
        if first < (self._sender.enrolled_at or 0.0) - CLOCK_SKEW_SECONDS:
            raise Invalid(f"samples: taken ({first}) before this device enrolled; check the clock")

    def _stretch(self, first: int) -> int:
        """Seconds of the stretches in which what is stored since ``first`` is counted."""
        return max(self._terms[-1].window_seconds, int((self._now - first) / GROUPS))

    def _shared(
        self, table: Table, total: ColumnElement[int], model: str, first: int, stretch: int
    ) -> dict[int, int]:
        """What of this device is stored, from ``first`` on, by the beginning of a stretch."""
        t: Any = table.c
        begin = (t.taken // stretch * stretch).label("begin")
        query = (
            select(begin, total)
            .where(t.model == model, t.device == self._sender.device)
            .where(t.taken >= first // stretch * stretch)
            .group_by(begin)
        )
        return {int(start): int(count) for start, count in self._db.execute(query)}

    def _check_votes(self, body: KeyVotes) -> None:
        terms, now = self._terms, self._now
        most = terms[-1].votes * terms[-1].releases if terms else 0
        if not most:
            raise Invalid(f"votes: the plan of {body.model} asks for none; see its policy")
        if not now - VOTES_SECONDS <= body.period <= now + CLOCK_SKEW_SECONDS:
            raise Invalid(f"votes: expected a period of the last 7 days, got {body.period}")
        if all(body.period % each.window_seconds for each in terms):
            raise Invalid(f"votes: expected the start of a window as period, got {body.period}")
        v = votes.c
        query = select(v.key).where(
            v.model == body.model, v.period == body.period, v.device == self._sender.device
        )
        keys = {*self._db.execute(query).scalars(), *body.keys}
        if len(keys) > most:
            raise Invalid(f"votes: expected at most {most} keys of a period, got {len(keys)}")


def shares(body: Body) -> bool:
    """Return whether a message brings what is counted with what is stored."""
    return isinstance(body, SampleBatch | TensorSample | KeyVotes)


def size_of(sample: TensorSample) -> int:
    """Return the compressed bytes of a sample."""
    return len(sample.data) * 3 // 4


def _followed(terms: tuple[SharingTerms, ...], more: SharingTerms) -> tuple[SharingTerms, ...]:
    """Return the terms with those of the next plan; neighbours that ask the same are one."""
    return terms if terms and terms[-1].same(more) else (*terms, more)


def _releases(plan: Plan) -> int:
    arms = plan.experiment.arms if plan.experiment else ()
    return len({plan.serving.manifest, *(arm.release.manifest for arm in arms)})
