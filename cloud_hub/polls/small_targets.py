"""Small signed targets in memory: after a push a whole fleet asks for the same plan at once.

A target's name has the hash of its content, so what is in memory is what was asked for. Plans,
floors and manifests are small, and nothing ever removes them; all else is answered from the store.
"""

from __future__ import annotations

import hashlib
import re
import threading
from typing import Final

from cloud_hub.polls.documents import SentForm, encoded
from cloud_hub.storage.artifact_store import ArtifactStore, read

SMALL_BYTES: Final = 256 << 10
"""Of one target in memory: no plan is larger."""

MOST_BYTES: Final = 16 << 20
"""Of targets in memory; beyond it what came first is read again."""

_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_SMALL: Final = re.compile(rf"(?:plans|models(?:/{_PART}){{1,2}})/([0-9a-f]{{64}})\.{_PART}\.json")


class SmallTargets:
    """The small targets that devices asked for. Safe from several threads.

    Args:
        store: of all targets.
        most_bytes: to keep in memory.
    """

    def __init__(self, store: ArtifactStore, most_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._most = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._forms: dict[str, SentForm] = {}
        self._elsewhere = False

    def may_hold(self, path: str) -> bool:
        """Return whether a target may be answered from memory, by its path."""
        return not self._elsewhere and _SMALL.fullmatch(path) is not None

    def peek(self, path: str) -> SentForm | None:
        """Return a target that is in memory."""
        return self._forms.get(path)

    def load(self, path: str) -> None:
        """Have a target in memory from now on, if it is small and whole.

        A store from which devices download by themselves is left to them.

        Args:
            path: that :meth:`may_hold` is true of.

        Raises:
            NotFound: there is no such target.
        """
        with self._lock:  # one at a time: a fleet asks for the same new file at once
            if path in self._forms or self._store.size(path) > SMALL_BYTES:
                return
            if self._store.public_address(path) is not None:
                self._elsewhere = True
                return
            raw = read(self._store, path)
            name = path.rpartition("/")[2]
            if hashlib.sha256(raw).hexdigest() == name.partition(".")[0]:
                self._keep(path, _form(raw, name))

    def _keep(self, path: str, form: SentForm) -> None:
        while self._forms and self._bytes + len(form.body) > self._most:
            self._bytes -= len(self._forms.pop(next(iter(self._forms))).body)
        self._forms[path] = form
        self._bytes += len(form.body)


def _form(raw: bytes, name: str) -> SentForm:
    """Return a target as :func:`cloud_hub.api.artifact_response.artifact_response` sends it."""
    etag = f'"{name}"'
    headers = {
        "Accept-Ranges": "bytes", "ETag": etag, "Content-Length": str(len(raw)),
        "Content-Type": "application/octet-stream",
    }  # fmt: skip
    return SentForm(raw, etag.encode(), (), encoded(headers))
