"""What a source needs of a trained module, whatever framework it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_sdk.model.release import Feed


@dataclass(frozen=True)
class ExportedModule:
    """A module that was exported, and the module itself to compare with.

    Attributes:
        kind: name of its class.
        proto: the ModelProto; weights are inside it.
        answers: the module's own outputs to input tensors by name, with gradients off and dropout
            out of use. Outputs have the names of those of ``proto``.
        samples: rows of ``X`` as input tensors by name, in the dtypes that the module takes.
        resolution: relative size of one rounding in the module's dtype.
    """

    kind: str
    proto: Any
    answers: Callable[[Feed], Feed]
    samples: Feed
    resolution: float
