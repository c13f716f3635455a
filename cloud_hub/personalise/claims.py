"""What devices may report of: the priors that this hub made."""

from __future__ import annotations

from sqlalchemy import Connection, select

from cloud_hub.personalise.tables import personal_priors


class MadePriors:
    """The hub's priors, as reports are held against them."""

    def basis(self, db: Connection, model: str, generation: int) -> str | None:
        """Return the digest of what a generation's sums are in; ``None`` if there is none.

        Args:
            db: an open transaction.
            model: name of the line.
            generation: number of the prior.
        """
        p = personal_priors.c
        query = select(p.basis_digest).where(p.model == model, p.generation == generation)
        found: str | None = db.execute(query).scalar()
        return found
