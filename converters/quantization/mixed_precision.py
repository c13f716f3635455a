"""Mixed precision: each matrix in as few bits as the answers allow, the sensitive ones in more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from converters.quantization.weight_storage import stored
from converters.quantization.weights import matrices

LADDER: Final = ("int4", "int8", "float16")
Badness = Callable[[Any], float]
"""How far out of tolerance a model is on the check rows: at most 1 is within."""


def mixed(proto: Any, badness: Badness) -> Any | None:
    """The fewest bits a matrix that stay within tolerance; ``None`` if there is no choice.

    All begin in four bits. While the answers are out of tolerance, the matrix goes up a step whose
    own quantization, with all others in float32, moves the answers most.
    """
    names = [tensor.name for tensor in matrices(proto)]
    if len(names) < 2:
        return None
    alone = {
        (name, way): badness(stored(proto, {name: way})) for name in names for way in LADDER[:2]
    }
    ways = dict.fromkeys(names, LADDER[0])
    while badness(stored(proto, dict(ways))) > 1:
        low = [name for name in names if ways[name] != LADDER[-1]]
        if not low:
            return None
        worst = max(low, key=lambda name: alone[name, ways[name]])
        ways[worst] = LADDER[LADDER.index(ways[worst]) + 1]
    return stored(proto, ways) if len(set(ways.values())) > 1 else None
