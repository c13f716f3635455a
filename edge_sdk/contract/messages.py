"""Messages of a device to its hub; they wait in its outbox until the hub has them.

Delivery is at-least-once, effect exactly-once: a message is named by (device, boot, sequence)
and the hub counts each name once. Aggregates only; the messages with raw values,
:class:`SampleBatch` and :class:`TensorSample`, are sent only by a device that opted in.

Times are whole Unix seconds. ``arm`` is the plan's arm name; ``experiment`` its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edge_sdk.contract.bounds import check_bounds, check_time
from edge_sdk.contract.codec import decode, encode, from_plain
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.experiment_reports import InterleaveReport, ShadowReport
from edge_sdk.contract.groups import GroupCounts, check_groups
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.contract.key_buckets import BucketOutcomes, BucketRequests
from edge_sdk.contract.limits import (
    MESSAGE_BYTES,
    SAMPLES_PER_MESSAGE,
    SHARED_TENSORS,
    TENSOR_SAMPLE_BYTES,
    TEXT_CHARACTERS,
    UPLOAD_BYTES,
    UPLOAD_MESSAGES,
    VALUE_AXES,
    VOTES_PER_MESSAGE,
)
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.names import Version, check_digest, check_name, check_provider
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.personal.report import PersonalReport
from edge_sdk.contract.version import REPORT_FORMAT, WINDOW_FORMAT
from edge_sdk.contract.window import LATENCY_BINS, SOURCES, Energy, Window


@dataclass(frozen=True)
class WindowReport:
    """Aggregates of one window.

    ``features`` and ``outputs`` are histograms (a text, see :mod:`edge_sdk.contract.histograms`) in
    the layout of the reference profile whose SHA-256 is ``profile``, each of which adds up to
    ``observations``; none while the window has too few observations to be uploaded (its counts then
    go into the next). ``predictions`` and ``latency`` are by source. ``errors`` counts
    refused inputs and failed calls by kind. ``lost`` counts what monitoring dropped, by reason.
    ``defaulted`` counts predictions for entities without stored features, or units without a
    session, ``stale`` those with stored features that were older than declared. ``units`` counts
    keys of an A/B by key that this process saw for the first time, ``buckets`` what was asked by
    bucket of the keys. ``resources`` is a sample at the end of the window. ``groups`` has, by
    declared column, the predictions of each group since the device reported that column last, which
    may be many windows ago. ``energy`` is left out without a meter, and where something else than
    this release answered too. ``variant`` is the file that answered, ``provider`` the execution
    provider that it ran on.
    """

    window: Window
    profile: str
    predictions: Mapping[str, int]
    features: str = NO_HISTOGRAMS
    outputs: str = NO_HISTOGRAMS
    observations: int = 0
    degraded: int = 0
    defaulted: int = 0
    stale: int = 0
    units: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, GroupCounts]] = field(default_factory=dict)
    energy: Energy | None = None
    buckets: BucketRequests | None = None
    variant: str | None = None
    provider: str | None = None
    format: Literal[2] = WINDOW_FORMAT

    def __post_init__(self) -> None:
        check_digest("profile", self.profile)
        for what in (self.predictions, self.latency):
            require(set(what) <= set(SOURCES), f"expected sources of {SOURCES}, got {sorted(what)}")
        counts = [
            self.observations,
            self.degraded,
            self.defaulted,
            self.stale,
            self.units,
            *self.predictions.values(),
            *self.errors.values(),
            *self.lost.values(),
        ]
        counts += [c for row in self.latency.values() for c in row]
        require(min(counts, default=0) >= 0, "counts: expected at least 0")
        shaped = all(len(row) == LATENCY_BINS for row in self.latency.values())
        require(shaped, f"latency: expected {LATENCY_BINS} bins")
        check_groups(self.groups)
        if self.variant is not None:
            check_name("variant", self.variant)
        if self.provider is not None:
            check_provider("provider", self.provider)
        if self.buckets is not None:
            self._check_buckets(self.buckets)

    def _check_buckets(self, buckets: BucketRequests) -> None:
        # No more than the report counts anyway, so that what bounds those bounds these.
        failed = self.errors.get("model", 0)
        for name, column, most in (
            ("requests", buckets.requests, sum(self.predictions.values()) + failed),
            ("errors", buckets.errors, failed),
            ("units", buckets.units, self.units),
            ("latency_n", buckets.latency_n, sum(self.latency.get("model", ()))),
        ):
            fits = sum(column) <= most
            require(fits, f"buckets: {name}: expected a sum of at most {most}, got {sum(column)}")


@dataclass(frozen=True)
class FeedbackReport:
    """Outcomes of predictions of one window whose labels (or rewards) have come since.

    Sufficient statistics. ``labelled`` and ``correct`` count labels of what was served; the two
    that begin with ``own`` those of the on-device model's own answer wherever it gave one, also
    where the cloud's was served instead, so that a cloud that steps in does not hide a model that
    degrades. ``rewards``, ``reward_sum`` and ``reward_squares`` are numeric outcomes that the
    application gave. ``by_source`` maps a source to (labelled, correct); ``groups`` each group of a
    declared column to those of the model's own answers. ``measured`` own numbers of a regressor
    were off by a known error, cut at the plan's ``largest_error``: ``error_sum`` adds up its size,
    ``error_squares`` and ``error_fourths`` its second and fourth power. ``buckets`` has outcomes of
    an A/B by key by bucket of the keys.
    """

    window: Window
    labelled: int = 0
    correct: int = 0
    own_labelled: int = 0
    own_correct: int = 0
    by_source: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rewards: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0
    unmatched: int = 0
    groups: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    measured: int = 0
    error_sum: float = 0.0
    error_squares: float = 0.0
    error_fourths: float = 0.0
    buckets: BucketOutcomes | None = None
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        require(0 <= self.correct <= self.labelled, "correct: expected 0 to labelled")
        require(0 <= self.own_correct <= self.own_labelled, "own_correct: expected 0 to labelled")
        require(self.own_labelled <= self.labelled, "own_labelled: expected 0 to labelled")
        self._check_sources()
        self._check_rewards()
        self._check_errors()
        self._check_groups()
        if self.buckets is not None:
            self._check_buckets(self.buckets)

    def _check_buckets(self, buckets: BucketOutcomes) -> None:
        for name, column, most in (
            ("labelled", buckets.labelled, self.own_labelled),
            ("correct", buckets.correct, self.own_correct),
            ("rewards", buckets.rewards, self.rewards),
            ("served_labelled", buckets.served_labelled, self.labelled),
            ("served_correct", buckets.served_correct, self.correct),
        ):
            fits = sum(column) <= most
            require(fits, f"buckets: {name}: expected a sum of at most {most}, got {sum(column)}")

    def _check_sources(self) -> None:
        pairs = self.by_source.values()
        known = set(self.by_source) <= set(SOURCES)
        require(known, f"by_source: expected sources of {SOURCES}, got {sorted(self.by_source)}")
        fits = all(0 <= right <= labelled for labelled, right in pairs)
        require(fits, "by_source: expected 0 to as many correct as labelled")
        sums = tuple(sum(pair[i] for pair in pairs) for i in (0, 1))
        whole = not pairs or sums == (self.labelled, self.correct)
        require(whole, f"by_source: expected a sum of {(self.labelled, self.correct)}, got {sums}")

    def _check_rewards(self) -> None:
        require(min(self.rewards, self.unmatched) >= 0, "counts: expected at least 0")
        require(self.reward_squares >= 0, "reward_squares: expected at least 0")
        none = self.rewards > 0 or self.reward_sum == self.reward_squares == 0
        require(none, "rewards: expected sums of 0 where there are none")

    def _check_errors(self) -> None:
        require(self.measured >= 0, "measured: expected at least 0")
        sums = (self.error_sum, self.error_squares, self.error_fourths)
        require(min(sums) >= 0, "sums of errors: expected at least 0")
        none = self.measured > 0 or not any(sums)
        require(none, "measured: expected sums of 0 where there are none")

    def _check_groups(self) -> None:
        check_groups(self.groups)
        own = (self.own_labelled, self.own_correct)
        for column, pairs in self.groups.items():
            fits = all(0 <= right <= labelled for labelled, right in pairs.values())
            require(fits, f"groups: {column}: expected 0 to as many correct as labelled")
            sums = tuple(sum(pair[i] for pair in pairs.values()) for i in (0, 1))
            require(sums == own, f"groups: {column}: expected a sum of {own}, got {sums}")


@dataclass(frozen=True)
class SampleBatch:
    """Opt-in: labelled rows for retraining; each row holds the manifest's columns in order."""

    model: str
    version: str
    rows: tuple[tuple[float | int | str | None, ...], ...]
    labels: tuple[Label | float, ...]
    taken: tuple[int, ...]
    """When each row was predicted, Unix seconds."""
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        count = len(self.rows)
        require(count <= SAMPLES_PER_MESSAGE, f"rows: expected at most {SAMPLES_PER_MESSAGE}")
        require(count == len(self.labels) == len(self.taken), "expected a label and time per row")


@dataclass(frozen=True)
class TensorSample:
    """Opt-in: one input of tensors and its label, for retraining.

    ``shapes`` has the shape of each input tensor by name, with an axis of one row where the release
    has that axis. ``data`` is base64 of a zstd frame: the values of all tensors in the order of
    their names, little-endian. ``taken`` is when it was predicted, Unix seconds.
    """

    model: str
    version: str
    shapes: Mapping[str, tuple[int, ...]]
    data: str
    label: Label | float
    taken: int
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        require(
            1 <= len(self.shapes) <= SHARED_TENSORS,
            f"shapes: expected 1 to {SHARED_TENSORS} tensors",
        )
        for name, shape in self.shapes.items():
            fits = len(shape) <= VALUE_AXES and all(0 <= size < 1 << 31 for size in shape)
            require(fits, f"shapes: {name!r:.60}: expected at most {VALUE_AXES} sizes from 0 on")
        most = TENSOR_SAMPLE_BYTES
        require(len(self.data) * 3 // 4 <= most + 2, f"data: expected at most {most} bytes")


@dataclass(frozen=True)
class KeyVotes:
    """The pack keys (32 hexadecimal digits) a device looked up most; one vote each a period."""

    model: str
    version: str
    period: int
    keys: tuple[str, ...]
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        require(len(self.keys) <= VOTES_PER_MESSAGE, f"keys: at most {VOTES_PER_MESSAGE}")
        require(len(set(self.keys)) == len(self.keys), "keys: expected each once")
        for key in self.keys:
            fits = len(key) == 32 and all(c in "0123456789abcdef" for c in key)
            require(fits, "keys: expected 32 hexadecimal digits")


Outcome = Literal["activated", "failed", "rolled_back", "waiting", "fell_back"]
"""``waiting``: the device puts an update off, for its window, its network or its application.
``fell_back``: a file did not come in its cheapest form and came whole; or a variant does not work
there on a provider, which gave up or was refused (``step`` is ``probe``, or ``choice`` for what is
there already); or its personal prior is of another release (``load``). None is a failure.
"""


@dataclass(frozen=True)
class UpdateEvent:
    """A step in a device's life that the fleet view and the canary gate need to know."""

    model: str
    outcome: Outcome
    version: str
    at: int
    previous: str | None = None
    step: str | None = None
    reason: str | None = None
    experiment: str | None = None
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        if self.previous is not None:
            Version.parse(self.previous)
        if self.experiment is not None:
            check_name("experiment", self.experiment)


Windowed = WindowReport | FeedbackReport | ShadowReport | InterleaveReport | RankingReport
"""Bodies that speak of one window."""

Body = Windowed | SampleBatch | TensorSample | KeyVotes | UpdateEvent | PersonalReport
KINDS: Final[Mapping[str, type]] = {
    "window": WindowReport,
    "feedback": FeedbackReport,
    "samples": SampleBatch,
    "tensors": TensorSample,
    "votes": KeyVotes,
    "event": UpdateEvent,
    "shadow": ShadowReport,
    "interleave": InterleaveReport,
    "rankings": RankingReport,
    "personal": PersonalReport,
}


def kind_of(body: Body) -> str:
    """Return the name under which a body travels."""
    return next(kind for kind, cls in KINDS.items() if isinstance(body, cls))


def _check_received(body: Body, kind: str) -> None:
    """Refuse what a hub cannot add up, place in time, or show.

    Checked where a message is read and not where it is made: a device whose clock is before 1970
    goes on, and loses its reports.
    """
    if isinstance(body, Windowed):
        check_bounds(body, kind)
        times = {"start": body.window.start, "end": body.window.end}
    elif isinstance(body, SampleBatch):
        times = {"taken": min(body.taken, default=0), "taken last": max(body.taken, default=0)}
    elif isinstance(body, KeyVotes):
        times = {"period": body.period}
    elif isinstance(body, TensorSample):
        times = {"taken": body.taken}
    elif isinstance(body, PersonalReport):
        check_bounds(body, kind)
        times = {"start": body.start, "at": body.at}
    else:
        times = {"at": body.at}
        for what, text in (("step", body.step), ("reason", body.reason)):
            fits = len(text or "") <= TEXT_CHARACTERS
            require(fits, f"{what}: expected at most {TEXT_CHARACTERS} characters")
    for what, seconds in times.items():
        check_time(f"{kind}.{what}", seconds)


@dataclass(frozen=True)
class Message:
    """A body in its envelope. ``boot`` is random per start of the device, ``sequence`` from 1."""

    boot: str
    sequence: int
    kind: str
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_name("boot", self.boot)
        require(self.sequence >= 1, "sequence: expected at least 1")

    def open(self) -> Body:
        """Return the parsed body; raises :class:`ContractError`."""
        if self.kind not in KINDS:
            raise ContractError(f"kind: expected one of {sorted(KINDS)}, got {self.kind!r:.60}")
        body: Body = from_plain(KINDS[self.kind], self.body, self.kind)
        _check_received(body, self.kind)
        return body


@dataclass(frozen=True)
class Upload:
    """``POST /v1/messages``: messages in the order in which the device made them."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        require(len(self.messages) <= UPLOAD_MESSAGES, f"expected at most {UPLOAD_MESSAGES}")

    @classmethod
    def from_json(cls, raw: bytes) -> Upload:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=UPLOAD_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)


@dataclass(frozen=True)
class Rejection:
    """A message that the hub will never take, and why; the device drops and counts it."""

    boot: str
    sequence: int
    reason: str


@dataclass(frozen=True)
class UploadReply:
    """Reply to an upload: every message was accepted, a duplicate, or rejected."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejection, ...] = ()


def check_message_size(raw: bytes) -> None:
    """Refuse a message that no hub would take.

    Raises:
        ContractError: more than :data:`MESSAGE_BYTES`.
    """
    if len(raw) > MESSAGE_BYTES:
        raise ContractError(f"message: expected at most {MESSAGE_BYTES} bytes, got {len(raw)}")
