"""What serves of a release on this device, how it was chosen, and what was refused; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge_sdk.contract.codec import decode, encode

BYTES: Final = 1 << 20
"""Bytes of a choice on the disk: hundreds of trials, each with a long reason."""


@dataclass(frozen=True)
class VariantTrial:
    """A variant on an execution provider, as it was tried on this device.

    Attributes:
        variant: name of the variant.
        provider: execution provider of onnxruntime.
        refused: why it may not serve; ``None`` if it may.
        beyond: by how much it exceeds the budget, where that is all that speaks against it.
        row_us: microseconds of one row; ``None`` where it did not come to that, as all that follow.
        p99_ms: 99th percentile of one row in milliseconds.
        memory_mb: most MiB that the process held meanwhile.
        difference: largest difference of a number from the golden vectors.
        nodes: of the graph by the provider that runs them.
    """

    variant: str
    provider: str
    refused: str | None = None
    beyond: str | None = None
    row_us: float | None = None
    p99_ms: float | None = None
    memory_mb: float | None = None
    difference: float | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.variant} on {self.provider.removesuffix('ExecutionProvider')}"

    @property
    def serves(self) -> bool:
        """Return whether it may."""
        return self.refused is None and self.beyond is None


@dataclass(frozen=True)
class VariantChoice:
    """What serves of a release on this device, and how it was chosen.

    Attributes:
        environment: facts in which it was chosen, by name.
        trials: every pair, in the order of preference.
        chosen: index of the trial that serves; ``None`` while they are tried.
        because: why, as a sentence.
        trying: index of the trial under way: a process that ends leaves it here.
    """

    environment: Mapping[str, str]
    trials: tuple[VariantTrial, ...]
    chosen: int | None = None
    because: str = ""
    trying: int | None = None

    @property
    def taken(self) -> VariantTrial | None:
        """Return the trial that serves."""
        fits = self.chosen is not None and 0 <= self.chosen < len(self.trials)
        return self.trials[self.chosen or 0] if fits else None

    @property
    def refusals(self) -> str:
        """Return what was refused and why; empty if nothing was."""
        return "; ".join(
            f"{each.name}: {each.refused or each.beyond}" for each in self.trials if not each.serves
        )

    def given_up(self, reason: str) -> VariantChoice | None:
        """Return the choice after what serves gave up: the next best; ``None`` if none is left."""
        if self.taken is None or self.chosen is None:
            return None
        trials = list(self.trials)
        trials[self.chosen] = replace(self.taken, refused=f"gave up while it served: {reason}")
        left = [i for i, each in enumerate(trials) if each.serves]
        if not left:
            return None
        best = min(left, key=lambda i: trials[i].row_us or 0.0)
        why = f"{self.taken.name} gave up"
        return replace(self, trials=tuple(trials), chosen=best, because=why)

    @classmethod
    def from_json(cls, raw: bytes) -> VariantChoice:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=BYTES)

    def to_json(self) -> bytes:
        """Return the bytes that :meth:`from_json` parses."""
        return encode(self)
