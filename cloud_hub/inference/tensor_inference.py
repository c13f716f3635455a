"""From the bytes of a request to infer to those of its answer, in one process of a hub.

Small requests are read and written in the event loop, since a hop to a thread and back takes
longer; large ones, and whatever needs the database or a file, on a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from fastapi.concurrency import run_in_threadpool

from cloud_hub.errors import ProtocolRefusal
from cloud_hub.inference.micro_batches import MicroBatches
from cloud_hub.inference.tensor_answers import (
    QUICK_BYTES,
    AskedRelease,
    AskedReleases,
    TensorAnswers,
    TensorQuestion,
    question,
)
from edge_sdk.local_server.http_message import decompressed
from edge_sdk.local_server.infer_answer import AnswerHead, InferAnswer, check_outputs, encoded
from edge_sdk.local_server.infer_request import InferRequest, parse_infer_request
from edge_sdk.local_server.limits import ByteBudget, ServerLimits
from edge_sdk.local_server.refusal import RequestRefused
from edge_sdk.local_server.release_tensors import OutputTensor

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

LIMITS: Final = ServerLimits()
"""Bytes of one request, and of all together in a process: those of a device's server."""

_T = TypeVar("_T")


class TensorBody(NamedTuple):
    """The body of a request to infer, as it came.

    Attributes:
        raw: its bytes.
        coding: value of ``Content-Encoding``.
        json_bytes: length of its JSON once it is decompressed; ``None`` without raw tensors.
    """

    raw: bytes
    coding: str | None
    json_bytes: int | None


class TensorInference:
    """Answers requests of one process.

    Args:
        hub: whose releases answer.

    Attributes:
        releases: that may be asked.
        budget: bytes that all requests may hold together.
    """

    def __init__(self, hub: Hub) -> None:
        self.releases = AskedReleases(hub.registry, hub.plans, hub.aliases)
        self._note_cost = hub.costs.note
        self.budget = ByteBudget(LIMITS.all_bodies_bytes)
        self._batches = MicroBatches[TensorQuestion, list[OutputTensor]](TensorAnswers(hub.serving))

    async def infer(self, model: str, version: str | None, body: TensorBody) -> InferAnswer:
        """Answer a request.

        Args:
            model: that is asked.
            version: ``None`` for the one that its plan promotes.
            body: of the request.

        Raises:
            NotFound: there is no such version, or none serves.
            ProtocolRefusal: the request or its inputs do not fit.
        """
        asked = self.releases.recent(model, version)
        if asked is None:
            asked = await run_in_threadpool(self.releases.find, model, version)
        release = asked
        small = len(body.raw) <= QUICK_BYTES and body.coding is None
        request, asks = await here_or_apart(small, lambda: _read(release, body))
        outputs = await self._batches.ask(asks)
        self._note_cost("cloud_answers", model, asked.manifest.version, asks.rows)
        small = sum(output.array.nbytes for output in outputs) <= QUICK_BYTES
        head = AnswerHead(model, asked.manifest.version, {"source": "cloud"})
        return await here_or_apart(
            small, lambda: encoded(request, head, outputs, "cloud", asks.rows)
        )

    def close(self) -> None:
        """End the threads; runs that are under way end first."""
        self._batches.close()


@contextmanager
def as_refusals() -> Iterator[None]:
    """Have the refusals of the protocol's code be those of a hub, with the same statuses."""
    try:
        yield
    except RequestRefused as error:
        raise ProtocolRefusal(str(error), error.status) from error


async def here_or_apart(here: bool, work: Callable[[], _T]) -> _T:
    """Return what work gives: done in the event loop, or on a thread."""
    return work() if here else await run_in_threadpool(work)


def _read(asked: AskedRelease, body: TensorBody) -> tuple[InferRequest, TensorQuestion]:
    """Return the request of a body, and what it asks; raises ProtocolRefusal."""
    with as_refusals():
        plain = decompressed(body.raw, body.coding, LIMITS.body_bytes)
        request = parse_infer_request(plain, body.json_bytes, asked.tensors.inputs)
        check_outputs(request, asked.tensors.outputs)
        return request, question(asked, request, len(plain))
