"""Answers of published releases to tensors, for whoever asks over the Open Inference Protocol.

Requests that wait at the same time for the same release are answered by one run of it, as rows of
the cascade are. Requests and answers are read and written by the code of the device's own server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cloud_hub.errors import HubFault, NotFound, ProtocolRefusal
from cloud_hub.inference.lines import MOST_MANIFESTS, RECENT_SECONDS
from cloud_hub.inference.service import LoadedReleases, joined, rows_come_first
from edge_sdk.contract.manifest import Manifest
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.local_server.infer_request import InferRequest
from edge_sdk.local_server.refusal import BAD_REQUEST, NOT_IMPLEMENTED
from edge_sdk.local_server.release_tensors import OutputTensor, ReleaseTensors
from edge_sdk.model.release import Feed, Release

if TYPE_CHECKING:
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

QUICK_ROWS: Final = 64
QUICK_BYTES: Final = 64 << 10
"""More than one of these is answered on a thread: the event loop is everybody's."""

ELSEWHERE: Final = ("entity", "unit", "sequence_id", "sequence_start", "sequence_end")
"""Parameters that only a device can follow."""


class AskedRelease(NamedTuple):
    """A published release, and its tensors as the protocol sees them."""

    release: Release
    tensors: ReleaseTensors

    @property
    def manifest(self) -> Manifest:
        """That of the release."""
        return self.release.manifest


class TensorQuestion(NamedTuple):
    """Inputs of one request.

    Attributes:
        model: digest of the release; questions to one are answered together.
        asked: that release.
        x: what ``predict`` or ``predict_batch`` of a device would take.
        rows: how many.
        size: bytes of the request.
    """

    model: str
    asked: AskedRelease
    x: Any
    rows: int
    size: int


class _Recent(NamedTuple):
    """A version that serves, and the monotonic second until which it is taken for the one."""

    version: str
    until: float


class AskedReleases:
    """The releases that may be asked: every published version of every model.

    Args:
        registry: versions.
        plans: what serves.
        clock: monotonic seconds.
    """

    def __init__(
        self, registry: Registry, plans: Plans, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._plans, self._clock = registry, plans, clock
        self._serving: dict[str, _Recent] = {}
        self._known: dict[tuple[str, str], AskedRelease] = {}

    def find(self, model: str, version: str | None) -> AskedRelease:
        """Return a version of a model.

        Args:
            model: its name.
            version: ``None`` for the one that the model's plan promotes.

        Raises:
            NotFound: there is no such model or version, or none serves.
        """
        known = self.recent(model, version)
        if known is not None:
            return known
        name = version if version is not None else self._served(model)
        found = self._known.get((model, name))
        if found is None:
            release = self._registry.release(model, name)
            found = AskedRelease(release, ReleaseTensors(release.manifest))
            if len(self._known) >= MOST_MANIFESTS:
                self._known.clear()
            self._known[model, name] = found  # versions never change
        if version is None:
            self._serving[model] = _Recent(name, self._clock() + RECENT_SECONDS)
        return found

    def recent(self, model: str, version: str | None) -> AskedRelease | None:
        """Return what :meth:`find` returned a moment ago, from memory alone."""
        if version is None:
            serving = self._serving.get(model)
            if serving is None or serving.until <= self._clock():
                return None
            version = serving.version
        return self._known.get((model, version))

    def all(self) -> list[tuple[str, str | None]]:
        """Return every model, and the version that its plan promotes."""
        plans = ((model, self._plans.current(model)) for model in self._registry.models())
        return [(model, plan.serving.version if plan else None) for model, plan in plans]

    def _served(self, model: str) -> str:
        plan = self._plans.current(model)
        if plan is None:
            self._serving.pop(model, None)
            raise NotFound(
                f"{model:.80}: no version serves; promote one, or name one that is there"
            )
        return plan.serving.version


class TensorAnswers:
    """Answers questions with releases that stay in memory.

    Args:
        loaded: the releases in memory, shared with the cascade.
    """

    def __init__(self, loaded: LoadedReleases) -> None:
        self._loaded = loaded

    def predict_together(
        self, requests: Sequence[TensorQuestion]
    ) -> list[list[OutputTensor] | HubFault]:
        """Answer questions to one release by as few runs as they allow.

        Returns:
            The outputs of each, in order; a refusal takes nothing from the others.
        """
        asked = requests[0].asked
        schema = self._loaded.load(asked.release).schema
        answers: list[list[OutputTensor] | HubFault | None] = [None] * len(requests)
        feeds: dict[int, Feed] = {}
        for place, request in enumerate(requests):
            try:
                feeds[place] = (schema.row if request.rows == 1 else schema.batch)(request.x)
            except InputError as error:
                answers[place] = ProtocolRefusal(str(error), BAD_REQUEST)
        counts = [requests[place].rows for place in feeds]
        for place, found in zip(feeds, self._runs(asked, [*feeds.values()], counts), strict=True):
            answers[place] = found
        return [answer for answer in answers if answer is not None]

    def is_at_hand(self, requests: Sequence[TensorQuestion]) -> bool:
        """Return whether few small rows ask a release that is in memory."""
        few = sum(request.rows for request in requests) <= QUICK_ROWS
        small = sum(request.size for request in requests) <= QUICK_BYTES
        return few and small and self._loaded.has(requests[0].asked.release)

    def _runs(
        self, asked: AskedRelease, feeds: list[Feed], counts: list[int]
    ) -> list[list[OutputTensor] | HubFault]:
        """Answer checked inputs by one run; where that fails, each by one of its own."""
        if len(feeds) > 1 and not rows_come_first(asked.manifest.signature):
            return [found for f, n in zip(feeds, counts, strict=True)
                    for found in self._runs(asked, [f], [n])]  # fmt: skip
        try:
            return self._run(asked, feeds, counts) if feeds else []
        except ReleaseError as error:
            if len(feeds) == 1:
                return [ProtocolRefusal(f"the model cannot answer it; {error}"[:300], BAD_REQUEST)]
        return [found for f, n in zip(feeds, counts, strict=True)
                for found in self._runs(asked, [f], [n])]  # fmt: skip

    def _run(
        self, asked: AskedRelease, feeds: list[Feed], counts: list[int]
    ) -> list[list[OutputTensor] | HubFault]:
        """Return the outputs for each of several inputs; raises ReleaseError."""
        from edge_sdk.model.outputs import Answers

        answers, model = Answers(asked.manifest, ""), self._loaded.load(asked.release).model
        outputs = model.run(joined(feeds), answers.needed)
        if not asked.manifest.signature.batched:
            return [asked.tensors.of_prediction(answers.read(outputs, answers.model))]
        if len(feeds) == 1:
            return [asked.tensors.of_batch(answers.batch(outputs, counts[0]))]
        parts: list[list[OutputTensor] | HubFault] = []
        begin = 0
        for count in counts:
            own = {name: array[begin : begin + count] for name, array in outputs.items()}
            parts.append(asked.tensors.of_batch(answers.batch(own, count)))
            begin += count
        return parts


def question(asked: AskedRelease, request: InferRequest, size: int) -> TensorQuestion:
    """Return what a request asks a release.

    Args:
        asked: the release.
        request: to it.
        size: bytes of its body.

    Raises:
        ProtocolRefusal: it needs what only a device has: sequences, units, entities.
        RequestRefused: its tensors are not those of the release.
    """
    if asked.tensors.stateful:
        raise ProtocolRefusal(
            "this model's inputs form sequences, which only a device keeps: ask edge serve there",
            NOT_IMPLEMENTED,
        )
    _check_parameters(request.parameters)
    x, rows = asked.tensors.application_input(request.tensors)
    return TensorQuestion(asked.release.digest, asked, x, rows, size)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name in ELSEWHERE or name.startswith("feature."):
            raise ProtocolRefusal(
                f"{name}: the hub answers tensors alone; ask edge serve on a device for it",
                BAD_REQUEST,
            )
