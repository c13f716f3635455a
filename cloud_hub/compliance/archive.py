"""The archive as a file: a ZIP with a signed statement that has the digest of each other member.

::

    statement.json    DSSE envelope of an in-toto statement; subjects are the files below
    README.md         what each file is
    release/          documents of the release, its manifest among them
    signatures/       N.root.json …, targets.json, releases.json
    *.json            records of the hub

The same files make the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from cloud_hub.compliance.articles import kind_of
from cloud_hub.errors import Invalid

STATEMENT: Final = "statement.json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "edge-deployment-sdk/compliance/v1"
PAYLOAD: Final = "application/vnd.in-toto+json"

MOST_FILES: Final = 5_000
MOST_BYTES: Final = 1 << 30
"""Unpacked: what claims to be larger is not opened."""

_TIME: Final = (1980, 1, 1, 0, 0, 0)


def statement(
    files: Mapping[str, bytes], *, model: str, version: str, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the in-toto statement of an archive.

    Args:
        files: by name.
        model: name of the line.
        version: of it.
        about: more of its predicate: the hub, the moment, what was left out.
    """
    subjects = [
        {"name": name, "digest": {"sha256": hashlib.sha256(raw).hexdigest()}}
        for name, raw in sorted(files.items())
    ]
    told = {
        name: {"what": kind_of(name).what, "articles": list(kind_of(name).articles)}
        for name in sorted(files)
    }
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {"model": model, "version": version, **about, "files": told},
    }


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of some files."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return raw.getvalue()


def unpacked(raw: bytes) -> dict[str, bytes]:
    """Return the files of an archive; nothing is written to a disk.

    Raises:
        Invalid: it is no archive, or larger than one may be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(entries) > MOST_FILES or sum(e.file_size for e in entries) > MOST_BYTES:
                raise Invalid(
                    f"archive: expected at most {MOST_FILES} files and {MOST_BYTES} bytes"
                )
            if len(set(names)) != len(names):
                raise Invalid("archive: a name is there twice")
            # ``read`` stops at the size that the entry declares, so a bomb unpacks to no more.
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise Invalid(f"archive: expected a ZIP of edge-hub export compliance; {error}") from error
