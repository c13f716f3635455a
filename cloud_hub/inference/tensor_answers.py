"""Answers of published releases to tensors, for whoever asks over the Open Inference Protocol.

Requests that wait at the same time for the same release are answered by one run of it, as rows of
the cascade are. Requests and answers are read and written by the code of the device's own server.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cloud_hub.errors import HubFault, NotFound, ProtocolRefusal
from cloud_hub.inference.lines import MOST_MANIFESTS, RECENT_SECONDS
from cloud_hub.inference.service import LoadedReleases, joined, rows_come_first
from edge_sdk.contract.dtypes import ITEM_BYTES
from edge_sdk.contract.manifest import Manifest
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.local_server.infer_request import InferRequest
from edge_sdk.local_server.refusal import BAD_REQUEST, NOT_IMPLEMENTED, TOO_LARGE
from edge_sdk.local_server.release_tensors import OutputTensor, ReleaseTensors
from edge_sdk.model.release import Feed, Release

if TYPE_CHECKING:
    from cloud_hub.aliases.service import Aliases
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

QUICK_ROWS: Final = 64
QUICK_BYTES: Final = 64 << 10
"""More than one of these is answered on a thread: the event loop is everybody's."""

MOST_ROWS: Final = 65_536
"""Of one request, and of one run: what a model needs in between grows with them."""

ANSWER_BYTES: Final = 64 << 20
"""Of the outputs of one request, as far as the release says how large they are."""

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
    """A version that a word names, and the monotonic second until which it is taken to."""

    version: str
    until: float


class AskedReleases:
    """The releases that may be asked: every published version of every model.

    Args:
        registry: versions.
        plans: what serves.
        aliases: other names of versions.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        plans: Plans,
        aliases: Aliases,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._plans, self._aliases = registry, plans, aliases
        self._clock = clock
        self._named: dict[tuple[str, str | None], _Recent] = {}
        self._known: dict[tuple[str, str], AskedRelease] = {}

    def find(self, model: str, word: str | None) -> AskedRelease:
        """Return a version of a model.

        Args:
            model: its name.
            word: that names the version; ``None`` for the one that the model's plan promotes.

        Raises:
            NotFound: there is no such model or version, or none serves.
            Invalid: it is no word for a version.
        """
        known = self.recent(model, word)
        if known is not None:
            return known
        version = self._served(model) if word is None else self._aliases.resolve(model, word)
        found = self._known.get((model, version))
        if found is None:
            release = self._registry.release(model, version)
            found = AskedRelease(release, ReleaseTensors(release.manifest))
            _make_room(self._known)
            self._known[model, version] = found  # versions never change
        _make_room(self._named)
        self._named[model, word] = _Recent(version, self._clock() + RECENT_SECONDS)
        return found

    def recent(self, model: str, word: str | None) -> AskedRelease | None:
        """Return what :meth:`find` returned a moment ago, from memory alone."""
        named = self._named.get((model, word))
        if named is None or named.until <= self._clock():
            return None
        return self._known.get((model, named.version))

    def all(self) -> list[tuple[str, str | None]]:
        """Return every model, and the version that its plan promotes."""
        plans = ((model, self._plans.current(model)) for model in self._registry.models())
        return [(model, plan.serving.version if plan else None) for model, plan in plans]

    def _served(self, model: str) -> str:
        plan = self._plans.current(model)
        if plan is None:
            raise NotFound(
                f"{model:.80}: no version serves; promote one, or name one that is there"
            )
        return plan.serving.version


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MOST_MANIFESTS:
        remembered.clear()


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
        for places in _runs_of([(place, requests[place].rows) for place in feeds]):
            inputs = [(feeds[place], requests[place].rows) for place in places]
            for place, found in zip(places, self._together(asked, inputs), strict=True):
                answers[place] = found
        return [answer for answer in answers if answer is not None]

    def is_at_hand(self, requests: Sequence[TensorQuestion]) -> bool:
        """Return whether few small rows ask a release that is in memory."""
        few = sum(request.rows for request in requests) <= QUICK_ROWS
        small = sum(request.size for request in requests) <= QUICK_BYTES
        return few and small and self._loaded.has(requests[0].asked.release)

    def _together(
        self, asked: AskedRelease, inputs: list[tuple[Feed, int]]
    ) -> list[list[OutputTensor] | HubFault]:
        """Answer checked inputs, each with its rows, by one run; where that fails, one by one."""
        alone = len(inputs) == 1
        if alone or rows_come_first(asked.manifest.signature):
            try:
                return list(self._run(asked, inputs))
            except ReleaseError as error:
                if alone:
                    reason = f"the model cannot answer it; {error}"[:300]
                    return [ProtocolRefusal(reason, BAD_REQUEST)]
        return [found for one in inputs for found in self._together(asked, [one])]

    def _run(
        self, asked: AskedRelease, inputs: list[tuple[Feed, int]]
    ) -> Iterator[list[OutputTensor]]:
        """Yield the outputs for each of several inputs; raises ReleaseError."""
        from edge_sdk.model.outputs import Answers

        answers, model = Answers(asked.manifest, ""), self._loaded.load(asked.release).model
        outputs = model.run(joined([feed for feed, _ in inputs]), answers.needed)
        if not asked.manifest.signature.batched:
            yield asked.tensors.of_prediction(answers.read(outputs, answers.model))
        elif len(inputs) == 1:
            yield asked.tensors.of_batch(answers.batch(outputs, inputs[0][1]))
        else:
            begin = 0
            for _, count in inputs:
                own = {name: array[begin : begin + count] for name, array in outputs.items()}
                yield asked.tensors.of_batch(answers.batch(own, count))
                begin += count


def _runs_of(rows: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield the places of questions that one run answers, of :data:`MOST_ROWS` rows at most."""
    run: list[int] = []
    taken = 0
    for place, count in rows:
        if run and taken + count > MOST_ROWS:
            yield run
            run, taken = [], 0
        run.append(place)
        taken += count
    if run:
        yield run


def question(asked: AskedRelease, request: InferRequest, size: int) -> TensorQuestion:
    """Return what a request asks a release.

    Args:
        asked: the release.
        request: to it.
        size: bytes of its body.

    Raises:
        ProtocolRefusal: it needs what only a device has (sequences, units, entities), or asks for
            too much at once.
        RequestRefused: its tensors are not those of the release.
    """
    if asked.tensors.stateful:
        raise ProtocolRefusal(
            "this model's inputs form sequences, which only a device keeps: ask edge serve there",
            NOT_IMPLEMENTED,
        )
    _check_parameters(request.parameters)
    x, rows = asked.tensors.application_input(request.tensors)
    _check_rows(asked.manifest, rows)
    return TensorQuestion(asked.release.digest, asked, x, rows, size)


def _check_rows(manifest: Manifest, rows: int) -> None:
    """Refuse more rows than a run has, or whose answer would be large; raises ProtocolRefusal."""
    row = sum(
        math.prod(size or 1 for size in spec.shape) * ITEM_BYTES.get(spec.dtype, 1)
        for spec in manifest.signature.outputs
    )
    most = min(MOST_ROWS, max(1, ANSWER_BYTES // max(1, row)))
    if rows > most:
        raise ProtocolRefusal(
            f"inputs: expected at most {most} rows at once, got {rows}", TOO_LARGE
        )


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name in ELSEWHERE or name.startswith("feature."):
            raise ProtocolRefusal(
                f"{name}: the hub answers tensors alone; ask edge serve on a device for it",
                BAD_REQUEST,
            )
