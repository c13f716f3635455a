"""Packs by entity that are built elsewhere: a share's answers travel, and the file comes back.

The same function writes the file here and there, and it writes the same bytes. Signing stays here.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.batch.layout import Layout
from cloud_hub.batch.shares import Share, loaded
from cloud_hub.engine.engine import Engine, SpreadTask
from cloud_hub.errors import HubFault
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.packs.entity_predictions import write_entity_predictions

LIMIT: Final = 16 << 20
_LENGTH: Final = struct.Struct("<Q")


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
        spool: the share's answers, see :func:`cloud_hub.batch.shares.spooled`.
    """
    share = Share(spool, width=order.width, plain=order.plain)
    keys, values = loaded(share, order.layout, order.names)
    write_entity_predictions(
        path, order.about, keys, values, model=order.model, version=order.version,
        manifest=order.manifest, answered_by=order.answered_by, expires=order.expires,
    )  # fmt: skip


def write_shares(
    engine: Engine, path: Path, orders: Sequence[tuple[PackOrder, Path]]
) -> Iterator[None]:
    """Write one pack after the other to ``path``, which is read before the next one is written.

    Args:
        engine: that builds them.
        path: of every pack.
        orders: what each says, and its answers; those files are removed.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        PackError: a pack cannot be made here.
        HubFault: a pack cannot be made elsewhere.
    """
    if not engine.elsewhere:
        for order, spool in orders:
            write_share(path, order, spool)
            spool.unlink()
            yield
        return
    task = SpreadTask(f"{__name__}:build_share", b"")
    items = (_item(order, spool) for order, spool in orders)
    for (_, spool), raw in zip(orders, engine.spread(task, items), strict=True):
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
