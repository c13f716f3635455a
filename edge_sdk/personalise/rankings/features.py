"""Features of items as numbers of about unit scale, at most :data:`FEATURES` of them.

Columns of a release are standardised by the quantiles of its reference profile, so that they mean
the same in every list. More numbers than :data:`FEATURES`, and categories, go through a random
projection with a fixed seed, which about preserves distances. Every device draws the same one.

Sources:
    D. Achlioptas, "Database-friendly random projections: Johnson-Lindenstrauss with binary coins",
    Journal of Computer and System Sciences 66(4), 2003.
    K. Weinberger, A. Dasgupta, J. Langford, A. Smola, J. Attenberg, "Feature Hashing for Large
    Scale Multitask Learning", ICML 2009 (categories).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.personalise.rankings.session_model import BASIS_BYTES, FEATURES, Floats

if TYPE_CHECKING:
    from edge_sdk.contract.profile import FeatureProfile

MOST_COLUMNS: Final = 8_192
"""Features of an item that are projected; the matrix has a row for each."""

LARGEST: Final = 4.0
"""Standardised columns are cut here."""


def given_features(features: Any, count: int) -> Floats:
    """Return features that came with the call, projected if there are many, [count, d].

    Args:
        features: numbers, [count, features].
        count: of items.

    Raises:
        InputError: it is no such array, has NaN or infinity, or too many columns.
    """
    try:
        array = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim != 2 or len(array) != count or not 1 <= array.shape[1] <= MOST_COLUMNS:
        came = f"shape {array.shape}" if array.size else f"{type(features).__name__}"
        raise InputError(
            "features",
            f"features: expected numbers [{count}, 1 to {MOST_COLUMNS}], a row for each item in "
            f"the order of candidates, or of the model's items; got {came}",
        )
    # Squares are summed later: what is beyond would be infinite.
    if not (np.abs(array) <= 1e30).all():  # NaN is not
        raise InputError("features", "features: expected finite numbers, at most 1e30 from 0")
    return array if array.shape[1] <= FEATURES else array @ _projection(array.shape[1])


def basis_of(source: str, names: Sequence[str]) -> bytes:
    """Return a name of the meaning of features: evidence is kept while it stays the same.

    Args:
        source: where they come from, and what the score means.
        names: of the columns.
    """
    text = "\0".join((source, *names))
    return hashlib.blake2b(text.encode(), digest_size=BASIS_BYTES).digest()


class ColumnFeatures:
    """Features of items that are rows of the release's own columns.

    Args:
        profile: of each column.
    """

    def __init__(self, profile: Sequence[FeatureProfile]) -> None:
        self._profile = tuple(profile)
        numbers = [i for i, column in enumerate(self._profile) if column.edges is not None]
        self._numbers = numbers
        self._places = [_place(self._profile[i].edges or ()) for i in numbers]
        self._projected = len(numbers) < len(self._profile) or len(numbers) > FEATURES
        self._matrix = _projection(max(len(numbers), 1)) if self._projected else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self._profile)

    def of(self, columns: Sequence[Any]) -> Floats:
        """Return the features of items, [n, d]; what is missing counts as usual.

        Args:
            columns: one sequence of n values per column, as monitoring gets them.
        """
        count = len(columns[0])
        table = np.zeros((count, max(len(self._numbers), 1)))
        for k, (i, (middle, spread)) in enumerate(zip(self._numbers, self._places, strict=True)):
            values = np.asarray(columns[i], dtype=np.float64)
            table[:, k] = np.clip((values - middle) / spread, -LARGEST, LARGEST)
        table = np.nan_to_num(table)
        if self._matrix is None:
            return table
        features = table @ self._matrix
        for i, column in enumerate(self._profile):
            if column.categories is not None:
                features += _hashed(column.name, columns[i])
        return features


def _place(edges: Sequence[float]) -> tuple[float, float]:
    """Median and spread of a number, from the quantiles of the profile."""
    array = np.asarray(edges, dtype=np.float64)
    low, middle, high = np.quantile(array, (0.25, 0.5, 0.75))
    spread = (high - low) / 1.35 or (array[-1] - array[0]) / 2
    return float(middle), float(spread) if spread > 0 and np.isfinite(spread) else 1.0


def _projection(columns: int) -> Floats:
    """Random signs, [columns, FEATURES]; of a hash, since states outlive a version of NumPy."""
    digest = hashlib.shake_256(f"projection of {columns}".encode()).digest(columns * FEATURES // 8)
    signs = np.unpackbits(np.frombuffer(digest, np.uint8)).reshape(columns, FEATURES)
    matrix: Floats = (2.0 * signs - 1) / np.sqrt(FEATURES)
    return matrix


def _hashed(name: str, values: Sequence[Any]) -> Floats:
    """Random signs of each category, [n, FEATURES]; none for a missing one."""
    rows: dict[Any, Floats] = {None: np.zeros(FEATURES)}
    for value in values:
        if value not in rows:
            digest = hashlib.blake2b(
                f"{name}\0{value}".encode(), digest_size=FEATURES // 8
            ).digest()
            signs = np.unpackbits(np.frombuffer(digest, np.uint8))
            rows[value] = (2.0 * signs - 1) / np.sqrt(FEATURES)
    return np.array([rows[value] for value in values])
