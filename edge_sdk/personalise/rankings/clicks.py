"""What clicks on a list say of its items: the cascade assumption.

A user is assumed to read from the top and to stop at the last click. So of the items down to the
last click those that were clicked on have reward 1 and the others 0; what is below was perhaps not
seen, and says nothing. A list without a click was read whole, :data:`READ` places at most. Where
users jump about, items between clicks get zeros that they did not earn.

Sources:
    N. Craswell, O. Zoeter, M. Taylor, B. Ramsey, "An Experimental Comparison of Click Position-Bias
    Models", WSDM 2008 (the cascade model).
    B. Kveton, C. Szepesvári, Z. Wen, A. Ashkan, "Cascading Bandits", ICML 2015.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from edge_sdk.personalise.rankings.session_model import Floats

READ: Final = 10
"""Places of a list without a click that are taken to have been read."""


def examined_rewards(clicked: Collection[int], length: int) -> Floats:
    """Return the rewards of the places that were read, [read], from the top.

    Args:
        clicked: places that were clicked on, from 0.
        length: places of the list that are remembered.
    """
    read = max(clicked) + 1 if clicked else READ
    rewards = np.zeros(min(read, length))
    rewards[[place for place in clicked if place < length]] = 1.0
    return rewards
