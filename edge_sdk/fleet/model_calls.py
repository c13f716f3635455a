"""The calls of an application to one model, made on the device or on one of its models."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from edge_sdk.serving.stream import Stream

if TYPE_CHECKING:  # not needed at start
    from edge_sdk.contract.manifest import Label, Manifest
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.model.explain_regions import ExplanationTerms
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.serving.ranking import Ranking
    from edge_sdk.sessions.session_store import SessionStore
    from edge_sdk.sessions.unit_session import UnitSession


class ModelCalls:
    """Predictions, rankings, explanations and feedback of one model.

    All methods may be called from any thread.

    Args:
        service: the releases that answer.
    """

    def __init__(self, service: ActiveReleases) -> None:
        self._service = service
        self._sequence = self.stream()

    def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input.

        A model with recurrent state sees the inputs of a device as one sequence; :meth:`stream`
        starts another one.

        Args:
            x: a row of features (1-D array or list, [features]), a dict by column name, a DataFrame
                of one row or a Series, or a feed (dict of arrays by tensor name, or the array of
                the only one; with the axis of the rows or without it). A release that holds its
                preprocessing takes a picture of Pillow and bytes, too (docs/INPUTS.md).
                With ``entity``, or the ``unit`` of a session, a dict of the features that are
                neither stored nor the session's, or that are newer.
            entity: name of an entity, such as ``"user-42"``. Without ``x`` its precomputed answer
                is given, if this device has one that has not expired. Else its stored features
                are joined with ``x`` (an entity that has none gets their declared defaults) and
                the model answers; where it cannot, the default of the batch job.
            unit: for whom the prediction is made, such as ``"user-42"``: while the plan runs an A/B
                by key, a unit always gets the same version. Where session features are declared,
                those of its :meth:`session` are joined with ``x``. Where the plan personalises, the
                unit gets the answer corrected by what its labels taught (``personalised``), unless
                that does not help (docs/COLD_START.md). The name does not leave the device; sums
                by one of 128 buckets of its hash do.
            groups: group of the row by column, such as ``{"sex": "f"}``, for columns that the
                release declares and the model does not take (a dict ``x`` may hold them as well).
                They are only counted; a release that does not declare them ignores them.
            deadline_ms: milliseconds that this call waits for the cloud, instead of the plan's; 0
                means not at all. After the deadline the on-device model answers.

        Returns:
            The prediction; ``source`` says whether pack, model, cloud or default answered.

        Raises:
            InputError: the input does not fit the model; the message names the feature.
            ReleaseError: there is no release yet, or the model failed on this input.
        """
        service = self._service
        serving = service.serving
        if serving is None or unit is not None:
            serving = service.serving_for(unit)
            if unit is not None and serving.sessions is not None:
                known = serving.entities is not None
                x = serving.sessions.joined(unit, x, entity, precomputed=known)
        if entity is not None:
            if x is None:
                stored = serving.precomputed(entity)
                if stored is not None:
                    return stored
            stored, x = serving.by_entity(entity, x)
            if stored is not None:
                return stored
        if serving.stateful:
            return self._sequence.predict(x, deadline_ms=deadline_ms, groups=groups)
        if unit is not None and serving.personal is not None:
            return serving.predict_for(unit, x, groups, deadline_ms)
        if deadline_ms is None:
            return serving.predict(x, groups)
        return serving.predict_any(x, deadline_ms=deadline_ms, groups=groups)

    def may_wait(self) -> bool:
        """Return whether a prediction may wait for the cloud or another process."""
        return getattr(self._service.serving, "asks_cloud", False)

    @property
    def manifest(self) -> Manifest:
        """Manifest of the release that serves: its inputs, outputs, classes and version.

        Raises:
            ReleaseError: there is no release yet.
        """
        return self._service.current().release.manifest

    def stored_features(self, entity: str) -> StoredFeatures:
        """Return the stored features of an entity, with their age; nothing is counted.

        Args:
            entity: its name, such as ``"user-42"``.

        Raises:
            InputError: this device has no batch features, or they are damaged there.
            ReleaseError: there is no release yet.
        """
        return self._service.current().stored(entity)

    def predict_ranking(
        self,
        x: Any,
        *,
        candidates: Sequence[Hashable] | None = None,
        length: int | None = None,
        unit: str | None = None,
        features: Any = None,
    ) -> Ranking:
        """Rank items, best first; :mod:`edge_sdk.ranking` says which models can.

        While the plan interleaves two versions, the list may hold items that both picked in turn.
        Where the plan personalises, the list of a ``unit`` adapts to what it clicks on
        (docs/RANKINGS.md). Pass the clicks to :meth:`feedback`, an empty list included.

        Args:
            x: one row per candidate ([candidates, features]); without ``candidates`` one input of
                a model that scores all of its items at once.
            candidates: the items to rank, each once.
            length: number of items to show at most; by default all.
            unit: as for :meth:`predict`.
            features: numbers that describe the items, [items, 1 to 8,192], by which a unit's taste
                is learned: a row for each of ``candidates`` or of the model's items, in order. By
                default the rows ``x``; a model that scores all items at once has no others. Not
                looked at where lists do not adapt.

        Returns:
            The items in order, and the id for :meth:`feedback`.

        Raises:
            InputError: the input or the features do not fit, or the model has no scores.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.ranking(self._joined(x, unit), candidates, length, unit, features)

    def stream(self) -> Stream:
        """Start a separate sequence of inputs to a model with recurrent state."""
        # By this object: a stream that is kept across a fork goes the way of its model.
        return Stream(lambda: self._service.current())

    def predict_batch(
        self,
        x: Any,
        *,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        pack: bool = False,
    ) -> BatchPrediction:
        """Answer N inputs with the on-device model; the cloud is not asked.

        Args:
            x: 2-D array [N, features], list of rows or dicts, DataFrame, or feed.
            unit: as for :meth:`predict`, for all rows.
            groups: N values by column, as for :meth:`predict`.
            pack: True to ask the pack first, as :meth:`predict` does; ``sources`` of the answer
                says which rows it held. A look-up takes microseconds, a small model's row in a
                batch far less: worth it where the answers of the pack are better than the model's.

        Returns:
            The N predictions, by column.

        Raises:
            InputError: there are no rows, or one does not fit the model.
            ReleaseError: there is no release yet, or the model failed.
        """
        x = self._joined(x, unit)
        return self._service.serving_for(unit).predict_batch(x, groups, pack=pack, unit=unit)

    def _joined(self, x: Any, unit: str | None) -> Any:
        """Return rows with the features of a unit's session, where such are declared."""
        if unit is None or self._service.sessions is None:
            return x
        join = self._service.serving_for(unit).sessions
        return x if join is None else join.joined_rows(unit, x)

    def session(self, unit: str) -> UnitSession:
        """Return the session of a unit, to tell it of events and to predict with its features.

        Args:
            unit: whose it is, such as ``"user-42"``; any text of 1 to 256 characters. Nothing of it
                leaves the device.

        Raises:
            InputError: ``unit`` is no such text, or no session features are declared here.
        """
        from edge_sdk.sessions.unit_session import UnitSession

        self._sessions_for(unit)
        return UnitSession(self, unit, is_here=True)

    def session_event(self, unit: str, event: Mapping[str, Any], at: Any = None) -> None:
        """Take an event into a unit's session; see :meth:`UnitSession.event`.

        Args:
            unit: as for :meth:`session`.
            event: fields by name.
            at: when it was; ``None`` for now.
        """
        self._sessions_for(unit).event(unit, event, at)

    def session_features(self, unit: str) -> dict[str, Any]:
        """Return the features of a unit's session now, by name; the defaults where it has none."""
        return self._sessions_for(unit).values(unit)[0]

    def end_session(self, unit: str) -> bool:
        """End a unit's session; return whether there was one."""
        return self._sessions_for(unit).end(unit)

    def _sessions_for(self, unit: str) -> SessionStore:
        """Return the sessions, for a unit that may have one; raises InputError."""
        sessions = self._service.declared_sessions()
        self._service.check_unit(unit)
        return sessions

    def explain(
        self, x: Any, *, scale: Scale = "probability", **terms: Unpack[ExplanationTerms]
    ) -> Explanation:
        """Explain the on-device model's answer to ``x``; nothing is counted.

        A row is explained by its features; a picture, a sequence or a vector by its regions, and
        it is measured how far those can be trusted.

        Args:
            x: one input, as for :meth:`predict`.
            scale: ``probability``, or ``log-odds``, on which the parts of a logistic model add up.
                A regressor is explained on the scale of its value, a model that gives a vector by
                how similar it stays to the vector for ``x``.
            **terms: ``label`` is the class whose probability is explained, by default the
                likeliest. Of regions: ``method`` is ``"occlusion"``, one answer of the model for
                each, or ``"shapley"``, which takes about ``calls`` of them (1,000) and sees regions
                that act together; ``regions`` is their number, about (49; 2 to 1,024); ``tensor``
                the input whose regions are explained, where there are several.

        Raises:
            InputError: the input does not fit or cannot be divided, needs those before it, or an
                argument is out of bounds.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.current().explain(x, scale, terms)

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | Collection[Label] | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        """Report the outcome of a prediction; each kind of outcome once.

        Args:
            prediction: id of the prediction or ranking.
            label: the true class, or the true number for a regressor; of a multilabel model the
                list of all true classes, perhaps none. Where the plan personalises it teaches the
                unit that the prediction was made for.
            reward: how good the outcome was; larger is better.
            clicks: items of a ranking or a precomputed list that were clicked on, perhaps none.

        Raises:
            InputError: the prediction is unknown or too old, the label is not one of the classes,
                an item was not shown, or the outcome was reported before.
        """
        self._service.feedback(prediction, label, reward, clicks)

    def forget(self, unit: str) -> bool:
        """Delete all that was learned of a unit (a user, a session) here, from memory and disk.

        It begins anew with its next prediction. What it has added to sums that went to the hub
        already cannot be taken out of them.

        Args:
            unit: its name, as :meth:`predict` was given it.

        Returns:
            Whether there was anything.

        Raises:
            InputError: ``unit`` cannot be one.
            StateError: it is forgotten in memory, but the disk takes no change now; there it is
                deleted as soon as it does.
        """
        return self._service.forget(unit)
