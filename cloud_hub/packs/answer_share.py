"""A share of rows, answered on a node; named by ``packs.answering``, and imported there alone."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

from cloud_hub.engine.folders import unpack_folder
from cloud_hub.inference.service import LoadedReleases
from cloud_hub.packs.answering import LENGTH
from cloud_hub.packs.predictions import answer_each
from edge_sdk.contract.manifest import Manifest
from edge_sdk.model.release import Release


def answer_share(common: bytes, item: bytes) -> bytes:
    """Answer rows.

    Args:
        common: the asking manifest, and the release that answers.
        item: keys and rows, as JSON.

    Returns:
        Answers by key, and reasons of rows that have none, as JSON.
    """
    answers, release, asking = _loaded(common)
    rows = {bytes.fromhex(key): row for key, row in json.loads(item)}
    found = answer_each(lambda some: answers.answers(release, some, asking), rows)
    both = [{key.hex(): each for key, each in part.items()} for part in found]
    return json.dumps(both).encode()


@functools.lru_cache(maxsize=1)
def _loaded(common: bytes) -> tuple[LoadedReleases, Release, Manifest]:
    (length,) = LENGTH.unpack_from(common)
    end = LENGTH.size + length
    asking = Manifest.from_json(common[LENGTH.size : end])
    answers = LoadedReleases()
    with tempfile.TemporaryDirectory(prefix="edge-hub-release-") as name:
        unpack_folder(common[end:], Path(name))
        release = Release.open(name)
        answers.load(release)
    return answers, release, asking
