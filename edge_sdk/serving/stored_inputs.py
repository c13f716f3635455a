"""What a predictor does with the name of an entity or a unit instead of a row, or beside one:
precomputed answers, stored features, features of a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import EdgeError, InputError
from edge_sdk.serving.feature_join import FeatureJoin

if TYPE_CHECKING:  # a device without hub and pack starts without them
    from edge_sdk.model.inputs import Inputs
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.model.schema import InputSchema
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.serving.entity_answers import EntityAnswerer
    from edge_sdk.sessions.session_store import SessionStore
    from edge_sdk.telemetry.monitor import Monitor


def nothing(entity: str) -> None:
    """Give no precomputed answer: there are none here."""


class StoredInputs:
    """Methods of a predictor by which it answers from what is stored.

    Attributes:
        entities: precomputed answers by entity; ``None`` without any.
        precomputed: looks one of these up, and counts it; ``None`` if there is none that may still
            be given. Each is replaced by one assignment.
    """

    entities: EntityAnswerer | None
    precomputed: Callable[[str], Prediction | None]
    monitor: Monitor
    tag: str
    _inputs: Inputs
    _schema: InputSchema
    _features_of: FeatureJoin
    _clock: Callable[[], float]

    def _count(self, error: EdgeError) -> None:
        raise NotImplementedError

    def use_sessions(self, sessions: SessionStore | None) -> None:
        """Join the features of ``sessions`` from the next call on; ``None`` for none."""
        if sessions is None:
            self.sessions = None
            return
        from edge_sdk.serving.session_join import SessionJoin  # only where there are some

        names = {column.name for column in self._schema.columns}
        self.sessions = SessionJoin(sessions, names, self.monitor)

    def by_entity(self, entity: str, streaming: Any) -> tuple[Prediction | None, Any]:
        """Return the row that the model is to answer for an entity, or else another answer.

        Args:
            entity: its name, of which :attr:`precomputed` gave no answer if it comes alone.
            streaming: features by column name that come with the call; ``None`` for none. With
                them the model answers: what is precomputed does not know them.

        Returns:
            ``None`` and the row of stored and streaming features by column name. Or, where the
            model cannot be asked, a prediction and ``None``: precomputed, or the default.

        Raises:
            InputError: there is none of these, or the name or ``streaming`` is none.
        """
        entities = self.entities
        if entities is None:
            return None, self.joined(entity, streaming)
        try:
            joined = self._features_of.join(entity, streaming)
            self._inputs.check(joined.row)
        except InputError as error:
            return self._without_model(entity, streaming, entities, error), None
        self._features_of.count(joined)
        return None, joined.row

    def _without_model(
        self, entity: str, streaming: Any, entities: EntityAnswerer, error: InputError
    ) -> Prediction:
        """Return the answer of an entity that the model cannot give; raise why, if there is none.

        What comes with the call and does not fit is refused: another answer would hide that.
        """
        if streaming is None or error.kind == "entity":
            try:
                found = entities.stored(entity) or entities.default(entity)
            except InputError as wrong_name:
                self._count(wrong_name)
                raise
            if found is not None:
                return found
            error = InputError("entity", f"{entities.why_none(entity)}; {error}")
        self._count(error)
        raise error

    def joined(self, entity: str, streaming: Any) -> dict[str, Any]:
        """Return the row of stored features of ``entity`` and ``streaming`` ones, by column name.

        Raises:
            InputError: there are no batch features here, or ``streaming`` is not a mapping.
        """
        try:
            joined = self._features_of.join(entity, streaming)
        except InputError as error:
            self._count(error)
            raise
        self._features_of.count(joined)
        return joined.row

    def stored(self, entity: str) -> StoredFeatures:
        """Return what is stored of an entity, and how old it is.

        Raises:
            InputError: there are no batch features here, or none can be read.
        """
        return self._features_of.stored(entity)
