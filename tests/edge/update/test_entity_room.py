"""Whether there is room for a pack of answers by entity, and what is said where there is none."""

from __future__ import annotations

import pytest

from edge_sdk.contract.entity_index import EntityIndex, EntityShare
from edge_sdk.contract.manifest import FileRef
from edge_sdk.update.entity_packs import room_refusal

ENTITIES = 10_000_000
SHARE = EntityShare(FileRef(57 * ENTITIES, "a" * 64), ENTITIES)
FREE, LEFT = 64_000_000, 32_000_000


def index(attribute: str | None) -> EntityIndex:
    shares = {"" if attribute is None else "eu": SHARE}
    return EntityIndex("shop", "hotels", 17, "shop 2.1", 1.0, 2.0, attribute, shares)


@pytest.mark.parametrize(
    ("attribute", "advice"),
    [
        (None, "give devices a share of the entities (entities: in the batch job)"),
        ("region", "region is too coarse a share, or make room"),
    ],
)
def test_ten_million_entities_do_not_come_to_a_device_with_64_mb_free(
    attribute: str | None, advice: str
) -> None:
    said = room_refusal(index(attribute), SHARE, SHARE.file.length, FREE, LEFT)
    assert said == (
        "generation 17 of 10,000,000 entities takes 570.0 MB, and of 64.0 MB free 32.0 are left to "
        f"others; {advice}"
    )


def test_what_came_already_needs_no_more_room() -> None:
    rest = FREE - LEFT
    assert room_refusal(index(None), SHARE, rest, FREE, LEFT) is None
    assert room_refusal(index(None), SHARE, rest + 1, FREE, LEFT) is not None
