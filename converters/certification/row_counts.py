"""What the check rows can count of a variant, and what that shows of all rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from converters.certification.exact_bounds import lower_bound, rows_needed, upper_bound


@dataclass(frozen=True)
class RowCounts:
    """Counts of one variant beside the model itself, on the same rows.

    Attributes:
        rows: rows whose labels were compared; 0 where answers are no labels.
        flips: rows whose label differs.
        right: rows whose label is the true one; ``None`` without true labels.
        lost: rows on which the model is right and the variant is not.
    """

    rows: int
    flips: int
    right: int | None = None
    lost: int | None = None

    def flips_bound(self, alpha: float) -> float | None:
        """Return the share of labels of which surely no more differ; ``None`` without labels."""
        return upper_bound(self.flips, self.rows, alpha) if self.rows else None

    def score_bound(self, alpha: float) -> float | None:
        """Return the accuracy that it surely has; ``None`` without true labels."""
        return None if self.right is None else lower_bound(self.right, self.rows, alpha)

    def drop_bound(self, alpha: float) -> float | None:
        """Return by how much accuracy surely drops at most; ``None`` without true labels.

        It cannot drop by more than the share of rows that are lost. Rows that are won are left out:
        of a good variant there are few of either, and the bound stays exact.
        """
        return None if self.lost is None else upper_bound(self.lost, self.rows, alpha)


def unshown(what: str, count: int, rows: int, limit: float, alpha: float) -> str:
    """Return why rows do not show that a share is at most ``limit``; empty if they do.

    Args:
        what: of the rows that count, such as ``label flips``.
        count: their number.
        rows: rows that were looked at.
        limit: largest share that is allowed.
        alpha: chance to be wrong.
    """
    bound = upper_bound(count, rows, alpha)
    if bound <= limit:
        return ""
    needed = rows_needed(count, rows, limit, alpha)
    enough = "no number of rows shows it" if needed is None else f"{needed:,} rows would show it"
    return (
        f"{count / rows:.2%} {what} among {rows:,} rows, which do not rule out {bound:.2%} "
        f"(allowed {limit:.2%}; {enough})"
    )
