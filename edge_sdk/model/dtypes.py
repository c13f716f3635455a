"""NumPy dtypes of the contract's dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sdk.contract.dtypes import STRING


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a contract dtype; strings travel as object arrays."""
    return np.dtype(object if name == STRING else name)
