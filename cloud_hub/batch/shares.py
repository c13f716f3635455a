"""The shares of a generation: its answers sorted onto the disk by the attribute they go by, and the
packs made of them, here or by an engine.

Memory grows with a batch and with the largest share, never with the generation. The same function
writes a pack here and on a node, and it writes the same bytes; signing stays here.
"""

from __future__ import annotations

import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.batch.layout import Layout
from cloud_hub.engine.engine import Engine, SpreadTask
from cloud_hub.errors import HubFault, Invalid
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.limits import ENTITY_SHARES
from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.packs.entity_predictions import (
    ITEMS,
    SCORES,
    EntityValues,
    entity_keys,
    joined_items,
    write_entity_predictions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloud_hub.batch.generations import Generation
    from cloud_hub.batch.layout import EntityAnswers
    from cloud_hub.engine.apart import Cancelling
    from edge_sdk.contract.manifest import Label, Role

LIMIT: Final = 16 << 20
_LENGTH: Final = struct.Struct("<Q")
KEYS: Final = "keys"
LABEL: Final = "label"
ROWS: Final = 20_000
Arrays = dict[str, NDArray[Any]]


@dataclass
class Share:
    """One share on its way to a pack: entities, and the file with their keys and answers."""

    file: Path
    entities: int = 0
    width: int = 0
    plain: bool = True
    """Every label so far follows from the probabilities."""


def spooled(
    generation: Generation,
    folder: Path,
    *,
    attribute: str | None,
    classes: Sequence[Label],
    most: int,
    going: Cancelling,
) -> dict[str, Share]:
    """Write the answers of a generation to one file for each share.

    Args:
        generation: that is read once, as a stream.
        folder: empty; for the files.
        attribute: by whose value entities are shared out; those without a value are left out.
            ``None``: one share, by the empty text.
        classes: of the model that answered, in its order.
        most: entities of one share.
        going: asked after every few rows.

    Raises:
        Invalid: a share is too large, or there are too many.
        PackError: a name cannot be stored.
    """
    layout = generation.layout
    if attribute not in (None, *(each.name for each in layout.attributes)):
        raise Invalid(
            f"entities: generation {generation.record.id} was computed without {attribute}; "
            "run the job once more"
        )
    shares: dict[str, Share] = {}
    places = {str(label): i for i, label in enumerate(classes)}
    for part in generation.stream(rows=ROWS):
        going.check()
        arrays = stored(layout, part, places)
        keys = entity_keys(part.entities)
        for value, rows in _by_value(part, attribute).items():
            share = shares.setdefault(value, Share(folder / f"{len(shares)}.spool"))
            _check(generation, attribute, shares, share, value, len(rows), most)
            _append(share, keys, arrays, rows)
    return shares


def _check(
    generation: Generation,
    attribute: str | None,
    shares: Mapping[str, Share],
    share: Share,
    value: str,
    more: int,
    most: int,
) -> None:
    share.entities += more
    if share.entities > most:
        of = "" if attribute is None else f" with {attribute} {value!r:.60}"
        raise Invalid(
            f"entities: generation {generation.record.id} has more than {most:,} entities{of}, and "
            "a device's pack holds no more (pack_entries); share them out by a finer attribute"
        )
    if len(shares) > ENTITY_SHARES:
        raise Invalid(
            f"entities: {attribute} has more than {ENTITY_SHARES:,} values, and an index names no "
            "more packs; share them out by a coarser attribute, such as a region"
        )


def _by_value(part: EntityAnswers, attribute: str | None) -> dict[str, list[int]]:
    """Return rows by the value of an attribute."""
    if attribute is None:
        return {"": list(range(len(part.entities)))}
    rows: dict[str, list[int]] = defaultdict(list)
    for i, value in enumerate(part.attributes[attribute]):
        if value is not None:
            rows[str(value)].append(i)
    return rows


def stored(layout: Layout, part: EntityAnswers, places: Mapping[str, int]) -> Arrays:
    """Return answers as packs store them, [N, ...] by name.

    Args:
        layout: of the generation's table.
        part: N of its answers.
        places: index of each class by its text.
    """
    columns = part.columns
    if layout.top:
        return {ITEMS: columns[ITEMS], SCORES: columns[SCORES]}
    arrays = {n: a for n, a in columns.items() if n != "prediction" or not places}
    if places and "prediction" in columns:
        labels = [places[str(label)] for label in columns["prediction"].tolist()]
        arrays[LABEL] = np.array(labels, np.int32)
    return arrays


def _append(
    share: Share, keys: NDArray[np.uint8], arrays: Mapping[str, NDArray[Any]], rows: list[int]
) -> None:
    chosen = {name: array[rows] for name, array in arrays.items()}
    if ITEMS in chosen and chosen[ITEMS].dtype == object:
        chosen[ITEMS] = joined_items(chosen[ITEMS])
        share.width = max(share.width, chosen[ITEMS].shape[1])
    if LABEL in chosen and "probabilities" in chosen:
        share.plain &= bool((chosen["probabilities"].argmax(axis=1) == chosen[LABEL]).all())
    with share.file.open("ab") as file:
        for array in (keys[rows], *chosen.values()):
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)


def loaded(
    share: Share, layout: Layout, names: Sequence[str]
) -> tuple[NDArray[np.uint8], dict[str, EntityValues]]:
    """Return the keys of a share and its answers, as a pack takes them.

    Args:
        share: spooled.
        layout: of the generation's table.
        names: of the arrays, in the order in which they were written.
    """
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in (KEYS, *names)}
    for name, array in _arrays(share.file, (KEYS, *names)):
        columns[name].append(_padded(array, share.width) if name == ITEMS else array)
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    keys = whole.pop(KEYS)
    if share.plain and "probabilities" in whole:
        whole.pop(LABEL, None)
    return keys, {name: EntityValues(_role(layout, name), array) for name, array in whole.items()}


def _arrays(file: Path, names: Sequence[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    end = file.stat().st_size
    with file.open("rb") as opened:
        while opened.tell() < end:
            for name in names:
                yield name, np.load(opened, allow_pickle=False)


def _padded(array: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))


def _role(layout: Layout, name: str) -> Role:
    if layout.top:
        return "other"
    if name in ("probabilities", "scores", "label"):
        return name  # type: ignore[return-value]
    return "value" if name == "prediction" else "other"


@dataclass(frozen=True)
class PackOrder:
    """What a pack says beside its entries.

    Attributes:
        model: whose devices hold it.
        version: of the release that answered.
        manifest: its digest.
        answered_by: line and version.
        about: what holds for all entities.
        expires: Unix seconds.
        layout: of the generation's table.
        names: of the share's arrays, in order.
        width: of joined lists of items.
        plain: labels follow from the probabilities.
    """

    model: str
    version: str
    manifest: str
    answered_by: str
    about: EntityPackInfo
    expires: int
    layout: Layout
    names: tuple[str, ...]
    width: int
    plain: bool


def write_share(path: Path, order: PackOrder, spool: Path) -> None:
    """Write the pack of a share to ``path``; raises PackError.

    Args:
        path: of the pack.
        order: what it says.
        spool: the share's answers, see :func:`spooled`.
    """
    share = Share(spool, width=order.width, plain=order.plain)
    keys, values = loaded(share, order.layout, order.names)
    write_entity_predictions(
        path, order.about, keys, values, model=order.model, version=order.version,
        manifest=order.manifest, answered_by=order.answered_by, expires=order.expires,
    )  # fmt: skip


def write_shares(
    engine: Engine, path: Path, orders: Sequence[tuple[PackOrder, Path]], going: Cancelling
) -> Iterator[None]:
    """Write one pack after the other to ``path``, which is read before the next one is written.

    Args:
        engine: that builds them.
        path: of every pack.
        orders: what each says, and its answers; those files are removed.
        going: asked before every pack.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        PackError: a pack cannot be made here.
        HubFault: a pack cannot be made elsewhere.
    """
    if not engine.elsewhere:
        for order, spool in orders:
            going.check()
            write_share(path, order, spool)
            spool.unlink()
            yield
        return
    task = SpreadTask(f"{__name__}:build_share", b"")
    items = (_item(order, spool) for order, spool in orders)
    spread = engine.spread(task, items)
    going.tell(spread.cancel)
    for (_, spool), raw in zip(orders, spread, strict=True):
        try:
            path.write_bytes(raw)
        except OSError as error:
            raise HubFault(f"{path}: the pack cannot be kept; {error}") from error
        spool.unlink()
        yield


def build_share(common: bytes, item: bytes) -> bytes:
    """Build a pack on a node.

    Args:
        common: nothing.
        item: a :class:`PackOrder` and the share's answers.

    Returns:
        The file.
    """
    (length,) = _LENGTH.unpack_from(item)
    end = _LENGTH.size + length
    order = decode(PackOrder, item[_LENGTH.size : end], limit=LIMIT)
    with tempfile.TemporaryDirectory(prefix="edge-hub-pack-") as name:
        spool, path = Path(name) / "spool", Path(name) / "pack"
        spool.write_bytes(memoryview(item)[end:])
        write_share(path, order, spool)
        return path.read_bytes()


def _item(order: PackOrder, spool: Path) -> bytes:
    told = encode(order)
    return b"".join((_LENGTH.pack(len(told)), told, spool.read_bytes()))
