"""The sets of a model as files in a folder, for a training that may reach neither hub nor database.

::

    features/sets.json        declarations, versions, and what was in them
    features/NAME-0.parquet   their files, in order

Files are linked where that can be done: they never change, and outlive what the hub forgets.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cloud_hub.features.declaration import FeatureSet, VersionedSet
from cloud_hub.features.set_history import SetHistory
from edge_sdk.contract.codec import from_plain
from edge_sdk.system.files import write_atomic

FOLDER: Final = "features"
_SETS: Final = "sets.json"


def write_snapshot(folder: Path, histories: Sequence[SetHistory]) -> None:
    """Write sets into the folder ``features`` of ``folder``.

    Args:
        folder: of a training.
        histories: the sets.
    """
    to = folder / FOLDER
    to.mkdir(parents=True)
    listed = []
    for history in histories:
        names = [f"{history.declared.name}-{i}.parquet" for i in range(len(history.files))]
        for file, name in zip(history.files, names, strict=True):
            _link(file, to / name)
        listed.append(
            {
                "declared": asdict(history.declared),
                "files": names,
                "taken": {
                    "name": history.declared.name,
                    "set_version": history.version,
                    "history": history.fingerprint,
                },
            }
        )
    write_atomic(to / _SETS, json.dumps(listed).encode())


def has_snapshot(folder: Path) -> bool:
    """Return whether :func:`write_snapshot` got to its end in a folder."""
    return (folder / FOLDER / _SETS).exists()


def read_snapshot(folder: Path) -> tuple[SetHistory, ...]:
    """Return the sets with rows that :func:`write_snapshot` wrote; none if it did not."""
    return tuple(each for each in read_sets(folder) if each.declared.session is None)


def read_session_sets(folder: Path) -> tuple[VersionedSet, ...]:
    """Return the sets of sessions that :func:`write_snapshot` wrote; none if it did not."""
    sets = (each for each in read_sets(folder) if each.declared.session is not None)
    return tuple(VersionedSet(each.declared, each.version) for each in sets)


def read_sets(folder: Path) -> tuple[SetHistory, ...]:
    """Return all sets that :func:`write_snapshot` wrote; none if it did not."""
    return tuple(
        SetHistory(
            from_plain(FeatureSet, each["declared"], "features"),
            each["taken"]["set_version"],
            tuple(folder / FOLDER / name for name in each["files"]),
            each["taken"]["history"],
        )
        for each in _listed(folder)
    )


def digests_in(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of what is in each set of a snapshot, by ``NAME@N``."""
    return {each.ref: each.fingerprint for each in read_sets(folder)}


def _listed(folder: Path) -> list[Any]:
    path = folder / FOLDER / _SETS
    listed: list[Any] = json.loads(path.read_bytes()) if path.exists() else []
    return listed


def _link(file: Path, to: Path) -> None:
    try:
        os.link(file, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, to)
