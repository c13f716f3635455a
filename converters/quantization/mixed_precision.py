"""Mixed precision: each matrix in as few bits as the answers allow, the sensitive ones in more."""

from __future__ import annotations

from typing import Any, Final

from converters.quantization.guide import Badness
from converters.quantization.weight_storage import stored
from converters.quantization.weights import matrices

LADDER: Final = ("int4", "int8", "float16")


def mixed(proto: Any, badness: Badness) -> Any | None:
    """Return a copy with the fewest bits a matrix that stay within tolerance.

    ``None`` if there are fewer than two matrices, or all would end in the same precision.

    All begin in four bits. While the answers are out of tolerance, the matrix goes up a step whose
    own quantization, with all others in float32, moves the answers most.
    """
    names = [tensor.name for tensor in matrices(proto)]
    if len(names) < 2:
        return None
    # Measured once, each matrix alone: the order in which they go up needs no more models.
    alone = {
        (name, step): badness(stored(proto, {name: step})) for name in names for step in LADDER[:2]
    }
    precision = dict.fromkeys(names, LADDER[0])
    while badness(stored(proto, dict(precision))) > 1:
        low = [name for name in names if precision[name] != LADDER[-1]]
        if not low:
            return None
        worst = max(low, key=lambda name: alone[name, precision[name]])
        precision[worst] = LADDER[LADDER.index(precision[worst]) + 1]
    return stored(proto, precision) if len(set(precision.values())) > 1 else None
