"""What a unit's labels said of both answers under one generation of a prior."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from edge_sdk.personalise.outcome import LabelOutcome

COUNTED: Final = 10_000
"""Labels of one generation that count; more say nothing new of a unit, and counts stay small."""

TALLY: Final = struct.Struct("<I5H2f")


@dataclass(slots=True, eq=False)
class Tally:
    """Counts of the labels of one unit.

    Attributes:
        generation: of the prior; 0 before the first label.
        both: labels that both answers had right.
        model_only: that only the release's own answer had right.
        personal_only: that only the unit's had right.
        neither: that none had right.
        served: labels of predictions that were served personalised.
        model_loss: sum of the losses of the release's answers.
        personal_loss: of the unit's.
    """

    generation: int = 0
    both: int = 0
    model_only: int = 0
    personal_only: int = 0
    neither: int = 0
    served: int = 0
    model_loss: float = 0.0
    personal_loss: float = 0.0

    @property
    def labels(self) -> int:
        """Return the number of labels that were counted."""
        return self.both + self.model_only + self.personal_only + self.neither

    def add(self, outcome: LabelOutcome, generation: int, *, served: bool) -> None:
        """Count one label; those of another generation are over.

        Args:
            outcome: of the label.
            generation: of the prior.
            served: whether the prediction was served personalised.
        """
        if generation != self.generation:
            self.generation = generation
            self.both = self.model_only = self.personal_only = self.neither = self.served = 0
            self.model_loss = self.personal_loss = 0.0
        if self.labels >= COUNTED:
            return
        if outcome.own_right:
            self.both += outcome.personal_right
            self.model_only += not outcome.personal_right
        else:
            self.personal_only += outcome.personal_right
            self.neither += not outcome.personal_right
        self.served += served
        self.model_loss += outcome.model_loss
        self.personal_loss += outcome.personal_loss

    def pack(self) -> bytes:
        """Return it as :data:`TALLY` bytes."""
        counts = (self.both, self.model_only, self.personal_only, self.neither, self.served)
        return TALLY.pack(self.generation, *counts, self.model_loss, self.personal_loss)

    @classmethod
    def unpack(cls, raw: bytes) -> Tally:
        """Return what :meth:`pack` packed; nonsense that a disk made of it is no tally."""
        tally = cls(*TALLY.unpack(raw))
        losses = (tally.model_loss, tally.personal_loss)
        # Written so that a NaN fails it.
        whole = tally.labels <= COUNTED and all(0 <= loss < COUNTED * COUNTED for loss in losses)
        return tally if whole and tally.served <= tally.labels else cls()
