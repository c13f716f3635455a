"""The methods of a device that another process runs, and of its models: each is one message to that
process and one back.

Mixins: :class:`edge_sdk.EdgeDevice` and its models say what the methods do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from edge_sdk.errors import StateError
from edge_sdk.processes.answers import batch_from_plain, prediction_from_plain
from edge_sdk.processes.client import OwnerClient
from edge_sdk.processes.inputs import many_to_plain
from edge_sdk.system.logs import LogEntry
from edge_sdk.validation import path_of

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label, Manifest
    from edge_sdk.contract.messages import Body
    from edge_sdk.fleet.local_events import LocalEvent
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.model.explain_regions import ExplanationTerms
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.serving.ranking import Ranking
    from edge_sdk.serving.stream import Stream
    from edge_sdk.sessions.unit_session import UnitSession
    from edge_sdk.update.syncer import SyncResult


MANIFEST_SECONDS: Final = 1.0
"""Seconds for which a manifest that came is taken for that of the release that serves, unless an
answer says that another one does."""


class RemoteModelCalls:
    """Calls to a model, answered by the process that owns the state folder."""

    # ruff: noqa: D102
    _remote: OwnerClient | None
    _called: str | None = None
    """The model; ``None`` for the device itself."""

    _known: tuple[float, str, Manifest] | None = None
    """When the manifest came, as text, and read."""

    @property
    def _owner_client(self) -> OwnerClient:
        assert self._remote is not None
        return self._remote

    def _call(self, name: str, **options: Any) -> Any:
        return self._owner_client.call(name, options, self._called)

    def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        options = _given(x=x, entity=entity, unit=unit, groups=groups, deadline_ms=deadline_ms)
        prediction = prediction_from_plain(self._call("predict", **options))
        self._forget_other_than(prediction.version)
        return prediction

    def predict_batch(
        self,
        x: Any,
        *,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        pack: bool = False,
    ) -> BatchPrediction:
        rows = many_to_plain(x)
        options = _given(x=rows, unit=unit, groups=groups, pack=pack or None)
        plain = self._call("predict_batch", **options)
        batch = batch_from_plain(plain, lambda name: self._call("remember", batch=name))
        self._forget_other_than(batch.version)
        return batch

    def predict_ranking(
        self,
        x: Any,
        *,
        candidates: Sequence[Hashable] | None = None,
        length: int | None = None,
        unit: str | None = None,
        features: Any = None,
    ) -> Ranking:
        from edge_sdk.serving.ranking import Ranking

        rows = x if candidates is None else many_to_plain(x)
        described = None if features is None else many_to_plain(features)
        options = _given(
            x=rows, candidates=candidates, length=length, unit=unit, features=described
        )
        items, name, version, personalised, chances = self._call("predict_ranking", **options)
        chances = None if chances is None else tuple(chances)
        return Ranking(tuple(items), name, version, personalised, chances)

    def explain(
        self, x: Any, *, scale: Scale = "probability", **terms: Unpack[ExplanationTerms]
    ) -> Explanation:
        from edge_sdk.model.explain import Explanation

        return Explanation(**self._call("explain", x=x, scale=scale, **terms))

    def stored_features(self, entity: str) -> StoredFeatures:
        from edge_sdk.packs.entity_features import StoredFeatures

        return StoredFeatures(*self._call("stored_features", entity=entity))

    def session(self, unit: str) -> UnitSession:
        from edge_sdk.sessions.unit_session import UnitSession

        self.session_features(unit)  # the owner refuses a unit that cannot have one
        return UnitSession(self, unit, is_here=False)

    def session_event(self, unit: str, event: Mapping[str, Any], at: Any = None) -> None:
        self._call("session_event", unit=unit, event=event, at=at)

    def session_features(self, unit: str) -> dict[str, Any]:
        features: dict[str, Any] = self._call("session_features", unit=unit)
        return features

    def end_session(self, unit: str) -> bool:
        return bool(self._call("end_session", unit=unit))

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | Collection[Label] | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        options = _given(prediction=prediction, label=label, reward=reward, clicks=clicks)
        self._call("feedback", **options)

    def forget(self, unit: str) -> bool:
        return bool(self._call("forget", unit=unit))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._call("status")
        return status

    def stream(self) -> Stream:
        raise StateError("a stream runs where its model is: open it in the process of the device")

    def may_wait(self) -> bool:
        return True

    @property
    def manifest(self) -> Manifest:
        from edge_sdk.contract.manifest import Manifest

        known, now = self._known, time.monotonic()
        if known is not None and now - known[0] <= MANIFEST_SECONDS:
            return known[2]
        text = self._call("manifest")
        if known is not None and known[1] == text:
            read = known[2]
        else:
            read = Manifest.from_json(text.encode())
        self._known = (now, text, read)
        return read

    def _forget_other_than(self, version: str) -> None:
        """Ask for the manifest anew where an answer is of another release than the one known: its
        classes may be others, and whoever reads the answer by them wants its own.
        """
        known = self._known
        if known is not None and known[2].version != version:
            self._known = (-math.inf, *known[1:])  # its text may be the same all the same


class RemoteCalls(RemoteModelCalls):
    """Methods of a device, answered by the process that owns its state folder."""

    def _attach(self, state: str | Path, timeout: float) -> None:
        """Connect to the process that runs the device in ``state``, or wait for one.

        Raises:
            StateError: there is none within ``timeout`` seconds.
        """
        self._remote = OwnerClient(path_of("state", state, StateError))
        self._remote.wait(timeout)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._call("models"))

    def sync(self) -> SyncResult:
        from edge_sdk.update.syncer import SyncResult

        return SyncResult(**self._call("sync"))

    def on_event(self, callback: Callable[[LocalEvent], Any]) -> Callable[[], None]:
        raise StateError(
            "events are told in the process that runs the device; here status()['events'] has the "
            "newest of them"
        )

    def stalled(self) -> str | None:
        return None  # its threads are looked after where they run

    def reports(self, *, final: bool = True) -> list[Body]:
        raise StateError("this device has a hub: its reports wait in the outbox for it")

    def logs(self, after: int = 0) -> list[LogEntry]:
        return [LogEntry(*entry) for entry in self._call("logs", after=after)]

    def close(self, timeout: float = 0.0) -> None:
        """Close the connections; the device runs on where it is run."""
        self._owner_client.close()

    def __repr__(self) -> str:
        return f"<EdgeDevice attached to {self._owner_client.folder}>"


def _given(**options: Any) -> dict[str, Any]:
    """Return the arguments that were given: the fewer, the sooner they are read."""
    return {name: value for name, value in options.items() if value is not None}
