"""Sequences of inputs to a model with recurrent state, by the names that clients give them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused

if TYPE_CHECKING:
    from edge_sdk.serving.stream import Stream

SEQUENCES: Final = 1_024
"""Most sequences that are remembered; beyond it the one that was used longest ago ends."""


class Sequences:
    """The running sequences of one model.

    Args:
        begin: starts a sequence.
    """

    def __init__(self, begin: Callable[[], Stream]) -> None:
        self._begin = begin
        self._streams: OrderedDict[int | str, Stream] = OrderedDict()
        self._lock = threading.Lock()

    def stream(self, parameters: Mapping[str, Any]) -> Stream:
        """Return the sequence that a request belongs to: ``sequence_id``, ``sequence_start`` and
        ``sequence_end`` are those of the protocol's extension.

        Raises:
            RequestRefused: no sequence is named, or one that has not begun here.
        """
        name = parameters.get("sequence_id")
        if not isinstance(name, int | str) or name is True or not name:
            raise RequestRefused(
                BAD_REQUEST,
                "this model's inputs form sequences: expected the parameter sequence_id, a number "
                f"or a text, got {name!r:.60}",
            )
        starts, ends = (parameters.get(f"sequence_{what}") is True for what in ("start", "end"))
        with self._lock:
            stream = self._begin() if starts else self._streams.get(name)
            if stream is None:
                raise RequestRefused(
                    BAD_REQUEST,
                    f"sequence {name!r:.60} is not known here (any more): begin it with "
                    "sequence_start",
                )
            self._streams[name] = stream
            self._streams.move_to_end(name)
            if ends:
                del self._streams[name]
            while len(self._streams) > SEQUENCES:
                self._streams.popitem(last=False)
        return stream
