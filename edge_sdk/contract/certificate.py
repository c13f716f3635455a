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
    """``certificate.json`` of a release; ``original_score`` is the trained model's own.

    ``confidence`` is that of each kind of bound for all variants together, or all groups together;
    ``None`` in certificates without bounds. ``left_out`` says by name of the variant why others
    have no row: they failed, the target cannot run them, or there was no time.
    """

    chosen: str
    variants: tuple[VariantResult, ...]
    rows: int
    original_score: float | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    repeat: str = ""
    groups: tuple[GroupResult, ...] = ()
    confidence: float | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    format: Literal[1] = CERTIFICATE_FORMAT

    @classmethod
    def from_json(cls, raw: bytes) -> Certificate:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=CERTIFICATE_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)
