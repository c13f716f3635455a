"""What the hub publishes by itself: packs, priors, indexes, versions of its own trainings.

A publisher elsewhere signs on top of what it read, and is told when somebody was faster. The hub's
own parts publish side by side all day, so they wait for each other, and sign once more on top of
what another process of the hub, or a publisher, published in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from cloud_hub.errors import Conflict

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Targets

    from cloud_hub.registry.repository import Repository

ATTEMPTS: Final = 10
"""Others who publish at the same moment are few, and each of them takes milliseconds."""

Published = TypeVar("Published")

_one_at_a_time = threading.Lock()


def publish_on_newest(
    repository: Repository,
    sign: Callable[[Metadata[Targets]], bytes],
    accept: Callable[[bytes], Published],
) -> Published:
    """Sign ``releases`` on top of the newest, and have it accepted.

    Args:
        repository: that it goes into.
        sign: returns what it is given as the next version, signed; called once an attempt.
        accept: takes that in, or raises :class:`Conflict`.

    Raises:
        Conflict: of ``accept``, and nobody had published meanwhile; or that went on and on.
    """
    with _one_at_a_time:
        for attempts_left in reversed(range(ATTEMPTS)):
            newest = repository.releases()
            version = newest.signed.version
            raw = sign(newest)
            try:
                return accept(raw)
            except Conflict:
                if not attempts_left or repository.releases().signed.version == version:
                    raise
        raise AssertionError("the last attempt returns or raises")
