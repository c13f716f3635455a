"""Answers of every variant of a release to many rows, in shares, here or on the nodes of an engine.

Shares and calls are cut in the same way wherever they are answered, and every call has one thread:
answers are the same to the byte. A node has one variant in memory at a time.
"""

from __future__ import annotations

import functools
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cloud_hub.engine.engine import SpreadTask
from cloud_hub.engine.folders import packed_folder, unpack_folder
from cloud_hub.errors import HubFault, Invalid
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from edge_sdk.model.release import Feed
    from edge_sdk.model.session import Model

SHARE_ROWS: Final = 4_096
PLACE, FOLDER = b"p", b"f"
"""What a task is told begins with one of them: the path of a release here, or the release."""

VARIANT, PREFIX = "variant", "row."


def variant_answers(
    engine: Engine,
    release: Release,
    feed: Feed,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Feed]:
    """Return the answers of each variant, by its name: outputs by name, rows along their axis.

    Args:
        engine: that computes.
        release: the variants that run on this machine are asked.
        feed: input tensors of N rows.
        progress: is told the share that is done.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        Invalid: a variant cannot be loaded, or fails on these rows.
        HubFault: a task failed.
    """
    folder = Path(release.folder).absolute()
    common = FOLDER + packed_folder(folder) if engine.elsewhere else PLACE + os.fsencode(folder)
    names = [each.variant.name for each in release.variants]
    shares = [range(at, at + SHARE_ROWS) for at in range(0, _rows(release, feed), SHARE_ROWS)]
    work = [(name, share) for name in names for share in shares]
    spread = engine.spread(
        SpreadTask(f"{__name__}:answer_share", common),
        (_item(release, feed, name, share) for name, share in work),
    )
    parts: dict[str, list[Feed]] = {name: [] for name in names}
    for done, ((name, _), raw) in enumerate(zip(work, spread, strict=True), start=1):
        parts[name].append(_arrays(raw))
        progress(done / len(work))
    return {name: _joined(release, found) for name, found in parts.items()}


def answer_share(common: bytes, item: bytes) -> bytes:
    """Answer some rows by one variant.

    Args:
        common: a release, or where it is.
        item: the variant's name and the rows.

    Returns:
        Its outputs, as ``.npz``.

    Raises:
        Invalid: it cannot be loaded, or fails on these rows.
    """
    from converters.certification.answering import rows_of_a_call
    from edge_sdk.model.session import take_rows

    arrays = _arrays(item)
    name = str(arrays.pop(VARIANT))
    feed = {tensor.removeprefix(PREFIX): _texts(array) for tensor, array in arrays.items()}
    try:
        release, model = _loaded(common, name)
        rows, signature = _rows(release, feed), release.manifest.signature
        size = rows_of_a_call(feed, rows)
        calls = [
            model.run(take_rows(feed, slice(at, at + size), signature))
            for at in range(0, rows, size)
        ]
    except EdgeError as error:
        raise Invalid(f"variant {name}: {error}") from error
    return _bytes(_joined(release, calls))


@functools.lru_cache(maxsize=1)
def _loaded(common: bytes, name: str) -> tuple[Release, Model]:
    if common[:1] == PLACE:
        return _variant(os.fsdecode(common[1:]), name)
    with tempfile.TemporaryDirectory(prefix="edge-hub-release-") as folder:
        unpack_folder(common[1:], Path(folder))
        return _variant(folder, name)  # weights that are mapped stay when their file is removed


def _variant(folder: str, name: str) -> tuple[Release, Model]:
    from converters.certification.answering import load_mapped

    release = Release.open(folder)
    for each in release.variants:
        if each.variant.name == name:
            return each, load_mapped(each)
    raise Invalid(f"{release.manifest.model}: has no variant {name!r} that runs on this machine")


def _rows(release: Release, feed: Feed) -> int:
    from edge_sdk.model.session import row_count

    return row_count(feed, release.manifest.signature)


def _item(release: Release, feed: Feed, name: str, share: range) -> bytes:
    from edge_sdk.model.session import take_rows

    rows = take_rows(feed, slice(share.start, share.stop), release.manifest.signature)
    return _bytes({VARIANT: np.array(name), **{f"{PREFIX}{n}": array for n, array in rows.items()}})


def _joined(release: Release, parts: Sequence[Feed]) -> Feed:
    axes = {spec.name: spec.batch for spec in release.manifest.signature.outputs}
    try:
        return {
            name: np.concatenate([part[name] for part in parts], axes[name]) for name in parts[0]
        }
    except (KeyError, ValueError) as error:
        raise HubFault(f"certificate: shares have answers that do not fit; {error}") from error


def _bytes(arrays: dict[str, Any]) -> bytes:
    raw = io.BytesIO()
    np.savez(raw, **{name: _plain(array) for name, array in arrays.items()})
    return raw.getvalue()


def _plain(array: Any) -> Any:
    # Texts of the runtime are objects, which would be pickled.
    return array.astype(str) if array.dtype.kind == "O" else array


def _texts(array: Any) -> Any:
    return array.astype(object) if array.dtype.kind == "U" else array


def _arrays(raw: bytes) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise HubFault(f"certificate: a task returned no answers; {error}") from error
