"""Releases of one model that failed on this device: not tried again until something has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.update.model_state import ModelState
    from edge_sdk.update.state import SlotRef


class FailedReleases:
    """The table ``failure``: by slot, under which plan and in which experiment it failed.

    A release that failed as a candidate stays out for as long as that experiment runs, whatever
    else the plan changes, its packs included; any other slot until the plan's next serial.
    """

    def __init__(self, store: ModelState) -> None:
        self._store = store

    def remember(self, slot: SlotRef, serial: int, experiment: str | None, reason: str) -> None:
        """Note that ``slot`` failed.

        Args:
            slot: release and packs.
            serial: of the plan under which it failed.
            experiment: in which it failed, where it was a candidate.
            reason: a sentence; 500 characters are kept.
        """
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO failure (release, serial, reason, experiment, model)"
                " VALUES (?, ?, ?, ?, ?)",
                (slot.name, serial, reason[:500], experiment, self._store.model),
            )

    def includes(self, slot: SlotRef, serial: int, experiment: str | None) -> bool:
        """Return whether ``slot`` failed under plan ``serial`` or in ``experiment``.

        Args:
            slot: that is wanted.
            serial: of the plan.
            experiment: its id, where the plan has one.
        """
        # Serials and ids of experiments are each model's own; a release is of one model.
        sql = (
            "SELECT 1 FROM failure WHERE release = ? AND serial = ?"
            " OR experiment = ? AND substr(release, 1, 64) = ?"
        )
        return bool(self._store.query(sql, slot.name, serial, experiment, slot.manifest))

    def all(self) -> list[tuple[str, str]]:
        """(release, reason) of everything that failed here."""
        sql = "SELECT release, reason FROM failure WHERE model = ?"
        return [tuple(row) for row in self._store.query(sql, self._store.model)]
