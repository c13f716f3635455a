"""The methods of a device that another process runs: each is one message to it and one back.

A mixin: :class:`edge_sdk.EdgeDevice` says what the methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from edge_sdk.errors import StateError
from edge_sdk.processes.answers import batch_from_plain, prediction_from_plain
from edge_sdk.system.logs import LogEntry
from edge_sdk.validation import path_of

if TYPE_CHECKING:  # sockets are not needed at the start of a device that serves nobody
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.fleet.local_events import LocalEvent
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.model.explain_regions import ExplanationTerms
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.processes.client import OwnerClient
    from edge_sdk.serving.ranking import Ranking
    from edge_sdk.serving.stream import Stream
    from edge_sdk.update.syncer import SyncResult


class RemoteCalls:
    """Methods of a device, answered by the process that owns its state folder."""

    # ruff: noqa: D102
    _remote: OwnerClient | None

    def _attach(self, state: str | Path, timeout: float) -> None:
        """Connect to the process that runs the device in ``state``, or wait for one.

        Raises:
            StateError: there is none within ``timeout`` seconds.
        """
        from edge_sdk.processes.client import OwnerClient

        self._remote = OwnerClient(path_of("state", state, StateError))
        self._remote.wait(timeout)

    @property
    def _owner_client(self) -> OwnerClient:
        assert self._remote is not None
        return self._remote

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
        return prediction_from_plain(self._owner_client.call("predict", options))

    def predict_batch(
        self,
        x: Any,
        *,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        pack: bool = False,
    ) -> BatchPrediction:
        client = self._owner_client
        options = _given(x=x, unit=unit, groups=groups, pack=pack or None)
        plain = client.call("predict_batch", options)
        return batch_from_plain(plain, lambda batch: client.call("remember", {"batch": batch}))

    def predict_ranking(
        self,
        x: Any,
        *,
        candidates: Sequence[Hashable] | None = None,
        length: int | None = None,
        unit: str | None = None,
    ) -> Ranking:
        from edge_sdk.serving.ranking import Ranking

        options = _given(x=x, candidates=candidates, length=length, unit=unit)
        items, name, version = self._owner_client.call("predict_ranking", options)
        return Ranking(tuple(items), name, version)

    def explain(
        self, x: Any, *, scale: Scale = "probability", **terms: Unpack[ExplanationTerms]
    ) -> Explanation:
        from edge_sdk.model.explain import Explanation

        options = {"x": x, "scale": scale, **terms}
        return Explanation(**self._owner_client.call("explain", options))

    def stored_features(self, entity: str) -> StoredFeatures:
        from edge_sdk.packs.entity_features import StoredFeatures

        return StoredFeatures(*self._owner_client.call("stored_features", {"entity": entity}))

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | Collection[Label] | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        options = _given(prediction=prediction, label=label, reward=reward, clicks=clicks)
        self._owner_client.call("feedback", options)

    def sync(self) -> SyncResult:
        from edge_sdk.update.syncer import SyncResult

        return SyncResult(**self._owner_client.call("sync", {}))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._owner_client.call("status", {})
        return status

    def on_event(self, callback: Callable[[LocalEvent], Any]) -> Callable[[], None]:
        raise StateError(
            "events are told in the process that runs the device; here status()['events'] has the "
            "newest of them"
        )

    def stalled(self) -> str | None:
        return None  # its threads are looked after where they run

    def may_wait(self) -> bool:
        return True

    def stream(self) -> Stream:
        raise StateError("a stream runs where its model is: open it in the process of the device")

    def reports(self, *, final: bool = True) -> list[Body]:
        raise StateError("this device has a hub: its reports wait in the outbox for it")

    def logs(self, after: int = 0) -> list[LogEntry]:
        entries = self._owner_client.call("logs", {"after": after})
        return [LogEntry(*entry) for entry in entries]

    def close(self, timeout: float = 0.0) -> None:
        """Close the connections; the device runs on where it is run."""
        self._owner_client.close()

    def __repr__(self) -> str:
        return f"<EdgeDevice attached to {self._owner_client.folder}>"


def _given(**options: Any) -> dict[str, Any]:
    """Return the arguments that were given: the fewer, the sooner they are read."""
    return {name: value for name, value in options.items() if value is not None}
