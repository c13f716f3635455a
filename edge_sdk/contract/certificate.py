"""The certificate: measurements at conversion, and the way to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.limits import CERTIFICATE_BYTES
from edge_sdk.contract.version import CERTIFICATE_FORMAT


@dataclass(frozen=True)
class VariantResult:
    """One candidate file against the original model on the check rows.

    ``label_flips`` is a share of the rows; differences are absolute, of probabilities or values;
    ``score`` is accuracy (classification) or R² (regression); latencies are medians in
    microseconds on the machine that made the release, ``p99_us`` the 99th percentile of one row;
    ``memory_kb`` is what loading added to the process.

    Bounds say what the rows show beyond themselves, where answers are labels: that at most a share
    ``flips_bound`` of all labels differs, that the accuracy is at least ``score_bound``, and that
    it is at most ``drop_bound`` below the model's own; see :attr:`Certificate.confidence`.
    """

    name: str
    bytes: int
    gzip_bytes: int
    label_flips: float
    max_difference: float
    mean_difference: float
    score: float | None
    row_us: float
    batch_row_us: float
    load_ms: float
    accepted: bool
    reason: str = ""
    p99_us: float | None = None
    memory_kb: float | None = None
    flips_bound: float | None = None
    score_bound: float | None = None
    drop_bound: float | None = None


@dataclass(frozen=True)
class GroupResult:
    """The chosen file on the check rows of one group.

    ``group`` is one of the declared ``column``; the rest as in :class:`VariantResult`.
    """

    group: str
    rows: int
    original_score: float | None
    score: float | None
    label_flips: float
    max_difference: float
    column: str = ""
    flips_bound: float | None = None
    score_bound: float | None = None


@dataclass(frozen=True)
class Certificate:
    """The certificate of one variant of a release; ``original_score`` is the trained model's own.

    ``variants`` are all that were measured, ``chosen`` is the one that the certificate is of; the
    groups are on its answers. ``because`` says why it is in the release, ``not_chosen`` why each
    other one is not the choice, by name, those included that failed, that the target cannot run or
    that there was no time for, and ``limits`` are those of the budget, in the smallest
    unit of each: bytes, microseconds (``load`` in milliseconds), shares.

    ``confidence`` is that of each kind of bound for all variants together, or all groups together;
    ``None`` in certificates without bounds.
    """

    chosen: str
    variants: tuple[VariantResult, ...]
    rows: int
    original_score: float | None = None
    because: str = ""
    not_chosen: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    repeat: str = ""
    groups: tuple[GroupResult, ...] = ()
    confidence: float | None = None
    format: Literal[1] = CERTIFICATE_FORMAT

    @classmethod
    def from_json(cls, raw: bytes) -> Certificate:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=CERTIFICATE_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)
