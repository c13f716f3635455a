"""Names of artifacts: ``HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]``, or ``oci:FOLDER[:TAG]`` for a
layout on disk. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.errors import ExchangeError

LATEST: Final = "latest"
LAYOUT: Final = "oci:"

_HOST: Final = r"(?P<host>(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_is_reference = re.compile(
    rf"{_HOST}/(?P<repository>{_PART}(?:/{_PART})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
).fullmatch
_is_tag = re.compile(_TAG).fullmatch


@dataclass(frozen=True)
class ArtifactName:
    """An artifact in a registry.

    Attributes:
        host: with its port, if it names one.
        repository: in the registry.
        tag: ``None`` where the digest alone says which.
        digest: ``sha256:…`` of its manifest, which has to be that one; ``None`` for whatever the
            tag names.
    """

    host: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> ArtifactName:
        """Return the name that a text is; raises ExchangeError."""
        found = _is_reference(text)
        host = found["host"] if found else ""
        # As everywhere: what has neither a dot nor a port is no host, but half of a repository.
        if found is None or not (set(".:[") & set(host) or host == "localhost"):
            raise ExchangeError(
                "reference: expected HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST] in lower case, "
                f"such as registry.example/vision/digits:1.0, or oci:FOLDER:TAG, got {text!r:.120}"
            )
        tag, digest = found["tag"], found["digest"]
        return cls(host, found["repository"], tag or (None if digest else LATEST), digest)

    @property
    def wanted(self) -> str:
        """The digest, if there is one, else the tag."""
        return self.digest or self.tag or LATEST


@dataclass(frozen=True)
class LayoutName:
    """An artifact in an OCI image layout: a folder, and a tag in its index."""

    folder: Path
    tag: str

    @classmethod
    def parse(cls, text: str) -> LayoutName:
        """Return the name that a text behind ``oci:`` is; raises ExchangeError."""
        folder, colon, tag = text.removeprefix(LAYOUT).rpartition(":")
        if not colon or "/" in tag:
            folder, tag = text.removeprefix(LAYOUT), LATEST
        if not folder or _is_tag(tag) is None:
            raise ExchangeError(
                f"reference: expected oci:FOLDER or oci:FOLDER:TAG, got {text!r:.120}"
            )
        return cls(Path(folder), tag)


def parse_reference(text: str) -> ArtifactName | LayoutName:
    """Return the artifact that a text names; raises ExchangeError."""
    return LayoutName.parse(text) if text.startswith(LAYOUT) else ArtifactName.parse(text)
