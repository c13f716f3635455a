"""What Python reads out of a pack, in plain values that readers in other languages give too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sdk.packs.entity_features import COMPUTED_AT, STALE_AT, EntityFeatures
from edge_sdk.packs.entity_predictions import EntityPredictions
from edge_sdk.packs.reader import Pack
from edge_sdk.serving.entity_answers import EntityAnswerer

NAN = float("nan")


def look_up(pack: Pack, key: bytes) -> dict[str, list[Any]] | None:
    """The values under a key, each a flat list of numbers and flags."""
    found = pack.get(key)
    return None if found is None else {name: a.ravel().tolist() for name, a in found.items()}


class Uncounted:
    """A monitor that counts nothing."""

    @property
    def by_entity(self) -> Uncounted:
        """The one of answers by entity."""
        return self

    def use(self, *_: Any, **__: Any) -> None:
        """Leave the classes out."""

    def record(self, *_: Any) -> None:
        """Leave the answer out."""


def predictions(opened: EntityPredictions, entities: Sequence[str], now: float) -> dict[str, Any]:
    """What a device answers to entities at ``now``, by name; ``None`` for no answer."""
    answerer = EntityAnswerer(opened, Uncounted(), "test", lambda: now)  # type: ignore[arg-type]
    return {name: _prediction(answerer, name) for name in entities}


def _prediction(answerer: EntityAnswerer, entity: str) -> dict[str, Any] | None:
    stored = answerer.stored(entity)
    given = stored if stored is not None else answerer.default(entity)
    if given is None:
        return None
    ranked = given.ranked
    items = () if ranked is None else ranked.items
    scores = () if ranked is None else ranked.scores
    value = None if ranked is not None or given.value is None else given.value
    return {
        "stored": stored is not None,
        "label": given.label,
        "labels": None if given.labels is None else list(given.labels),
        "value": value,
        "confidence": NAN if given.confidence is None else given.confidence,
        "age": NAN if given.age is None else given.age,
        "items": list(items),
        "scores": [scores[i] if i < len(scores) else NAN for i in range(len(items))],
    }


def features(path: Path, entities: Sequence[str]) -> dict[str, Any]:
    """The features of entities, with the moments where the file has them, by name."""
    opened = EntityFeatures(Pack.open(path, now=0))
    found = {}
    for entity in entities:
        joined = opened.lookup(entity, {})
        moments = {COMPUTED_AT: joined.computed_at, STALE_AT: joined.stale_at}
        kept = {n: v for n, v in moments.items() if n in opened.pack.header.defaults}
        found[entity] = {"stored": joined.is_stored, "row": {**joined.row, **kept}}
    opened.close()
    return found
