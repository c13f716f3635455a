"""Answers by entity, computed ahead in the cloud: looked up by a name, without a model and offline.

They use the pack format: the key is the entity's, the values are what the cloud's model answered.
Such a pack belongs to no release of the device, because the answers need none. It says in its
header what makes predictions of its values, and of which entities they are.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import FLOAT_CODES
from edge_sdk.contract.key import ENTITY_ANSWERS, KEY_BYTES
from edge_sdk.contract.pack import EntityPackInfo, PackHeader, ValueField
from edge_sdk.errors import InputError, PackError
from edge_sdk.model.keys import key_of
from edge_sdk.model.outputs import most_likely, stored_classifier
from edge_sdk.model.prediction import Origin, Prediction, RankedItems, as_value
from edge_sdk.packs.entity_names import PREFIX, entity_bytes
from edge_sdk.packs.reader import Pack

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Role

ITEMS: Final = "items"
SCORES: Final = "scores"
SEPARATOR: Final = "\0"
"""Between two names of a ranked list: the one character that none of them can have."""


class EntityValues(NamedTuple):
    """Values of N entities: ``array`` [N, ...] and its role, by the name of the value."""

    role: Role
    array: NDArray[Any]


def entity_keys(entities: Sequence[str]) -> NDArray[np.uint8]:
    """Return the keys [N, 16] of N names; raises PackError for one that is none."""
    try:
        keys = b"".join([key_of(PREFIX + entity_bytes(entity)) for entity in entities])
    except InputError as error:
        raise PackError(str(error)) from error
    return np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES)


class EntityPredictions:
    """An open pack of answers by entity; lookups are safe from any number of threads.

    It is unmapped with the last reference to it, so that it may be replaced while it is read.

    Args:
        pack: opened, of this kind.

    Attributes:
        pack: the same.
        about: what its header says of all answers.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        about = pack.header.entities
        assert about is not None
        self.about: EntityPackInfo = about
        self._steps, self._reading = pack.steps(), threading.Lock()

    def step(self) -> None:
        """Read some more of the file, once from its opening on: what is damaged is found."""
        if self._reading.acquire(blocking=False):
            try:
                next(self._steps, None)
            finally:
                self._reading.release()

    @classmethod
    def open(cls, path: str | Path, model: str | None = None) -> EntityPredictions:
        """Open the file at ``path``, be its time over or not: each lookup asks the clock.

        Args:
            path: pack file.
            model: whose devices it must be for; ``None``: any, to inspect it.

        Raises:
            PackError: the file is unreadable, truncated, a pack of another kind or model, or
                nothing that a prediction could be made of.
        """
        pack = Pack.open(path, now=-1.0)
        header = pack.header
        wrong = None
        if header.canonicaliser != ENTITY_ANSWERS:
            wrong = f"expected answers by entity, got a pack with keys of {header.canonicaliser}"
        elif model is not None and header.model != model:
            wrong = f"expected answers for {model}, got some for {header.model}"
        if wrong is None:
            opened = cls(pack)
            wrong = opened.problem()
            if wrong is None:
                return opened
        pack.close()
        raise PackError(f"{path}: {wrong}")

    @property
    def expires(self) -> float:
        """Unix seconds after which its answers are not given."""
        expires = self.pack.header.expires
        return float("inf") if expires is None else expires

    @property
    def several(self) -> bool:
        """Return whether each answer gives any number of classes."""
        return not self.about.top and any(f.role == "scores" for f in self.pack.header.fields)

    def problem(self) -> str | None:
        """Return why no prediction can be made of its values; ``None`` if one can."""
        about, fields = self.about, self.pack.header.fields
        if about.top:
            return _problem_of_lists(fields)
        classes = len(about.classes)
        for field in fields:
            form = f"{field.dtype} {list(field.shape)}"
            if field.role in ("probabilities", "scores"):
                if field.dtype not in FLOAT_CODES or field.shape != (classes,):
                    return f"expected {field.role} of {classes} classes, got {form}"
            elif field.role == "label":
                if not about.classes:
                    return "expected the classes of its labels"
                if np.dtype(field.dtype).kind not in "iu" or field.shape:
                    return f"expected labels as one index each, got {form}"
        return None

    def origin(self, tag: str, clock: Callable[[], float], *, stored: bool = True) -> Origin:
        """Return what all predictions of this pack share.

        Args:
            tag: first part of their ids.
            clock: function that returns Unix seconds.
            stored: False for the declared default.
        """
        about, header = self.about, self.pack.header
        scored = next((f for f in header.fields if f.role in ("probabilities", "scores")), None)
        return Origin(
            tag,
            header.version,
            "pack" if stored else "default",
            scored.dtype if scored else "float32",
            multilabel=(about.classes, about.threshold) if self.several else None,
            computed_at=about.computed_at if stored else None,
            clock=clock,
        )

    def maker(self, origin: Origin) -> Callable[[int], Prediction]:
        """Return a function that makes the prediction of an entry."""
        if self.about.top:
            return self._ranked(origin)
        fields = self.pack.header.fields
        only = fields[0] if len(fields) == 1 else None
        if only is not None and only.role == "probabilities":
            vectors = self.pack.vectors(only.name)
            if vectors is not None:
                return stored_classifier(origin, self.about.classes, vectors)
        return lambda entry: self._read(origin, self.pack.entry(entry))

    def plain(self, entry: int) -> dict[str, Any]:
        """Return the answer of an entry, ready for JSON: what it has, by name."""
        p = self.maker(self.origin("", lambda: self.about.computed_at))(entry)
        if p.ranked is not None:
            return {"items": list(p.ranked.items), "scores": list(p.ranked.scores)}
        value = p.value.tolist() if isinstance(p.value, np.ndarray) else p.value
        others = {name: array.tolist() for name, array in p.outputs.items()}
        scores = None if p.probabilities is None else p.probabilities.tolist()
        answer = {"label": p.label, "labels": p.labels, "value": value, "probabilities": scores}
        return {name: each for name, each in answer.items() if each is not None} | others

    def default(self, origin: Origin) -> Prediction | None:
        """Return the answer that is declared for other entities; ``None`` for none."""
        about = self.about
        if about.default_items:
            return Prediction.of(origin, 0, None, None, None, RankedItems(about.default_items))
        if about.default is None:
            return None
        if not about.classes and not isinstance(about.default, str):
            return Prediction.of(origin, 0, None, None, None, float(about.default))
        if self.several:  # that class, and no other
            scores = tuple(float(name == about.default) for name in about.classes)
            return Prediction.of(origin, 0, None, None, scores)
        label = about.default if isinstance(about.default, str) else int(about.default)
        return Prediction.of(origin, 0, label, None)

    def _ranked(self, origin: Origin) -> Callable[[int], Prediction]:
        data, items_at, stride, width = self.pack.place(ITEMS)
        _, scores_at, _, _ = self.pack.place(SCORES)
        field = next(f for f in self.pack.header.fields if f.name == SCORES)
        unpack = struct.Struct(f"<{field.shape[0]}{FLOAT_CODES[field.dtype]}").unpack_from

        def ranked(entry: int) -> Prediction:
            at = stride * entry
            begin = items_at + at
            joined = data[begin : begin + width].rstrip(b"\0").decode("utf-8", "replace")
            items = tuple(joined.split(SEPARATOR)) if joined else ()
            value = RankedItems(items, unpack(data, scores_at + at)[: len(items)])
            return Prediction.of(origin, 0, None, None, None, value)

        return ranked

    def _read(self, origin: Origin, stored: Mapping[str, NDArray[Any]]) -> Prediction:
        classes = self.about.classes
        label, confidence, scores, value = None, None, None, None
        others: dict[str, NDArray[Any]] = {}
        for field in self.pack.header.fields:
            array = stored[field.name]
            if field.role == "probabilities":
                scores = array
                likeliest, confidence = most_likely(array.tolist(), classes)
                label = likeliest if label is None else label
            elif field.role == "scores":
                scores = array
            elif field.role == "label":
                label = classes[int(array) % len(classes)]
            elif field.role == "value":
                value = as_value(array)
            else:
                others[field.name] = array
        return Prediction.of(origin, 0, label, confidence, scores, value, others)


def _problem_of_lists(fields: Sequence[ValueField]) -> str | None:
    """Return why no ranked list can be made of fields; ``None`` if one can."""
    plain = {f.name: f for f in fields if len(f.shape) == 1 and f.encoding is None}
    items, scores = plain.get(ITEMS), plain.get(SCORES)
    if items is None or items.dtype != "uint8" or scores is None:
        return "expected items and scores of a ranked list"
    return None if scores.dtype in FLOAT_CODES else "expected scores of floats"


def joined_items(items: NDArray[Any]) -> NDArray[np.uint8]:
    """Return N ranked lists as the field ``items`` holds them, [N, bytes of the longest].

    Args:
        items: [N, top] of texts; empty ones are none, and stand at the end.

    Raises:
        PackError: a name has the character that stands between two.
    """
    rows = [SEPARATOR.join([name for name in row if name]) for row in items.tolist()]
    if any(SEPARATOR in name for row in items.tolist() for name in row):
        raise PackError("items: expected names without the character NUL")
    raw = [row.encode() for row in rows]
    width = max(map(len, raw), default=0) or 1
    return np.frombuffer(b"".join(r.ljust(width, b"\0") for r in raw), np.uint8).reshape(-1, width)


def write_entity_predictions(
    path: str | Path,
    about: EntityPackInfo,
    keys: NDArray[np.uint8],
    values: Mapping[str, EntityValues],
    *,
    model: str,
    version: str,
    manifest: str,
    answered_by: str,
    expires: int | None = None,
) -> PackHeader:
    """Write answers by entity to ``path``.

    Args:
        path: file to write; an existing one is replaced atomically.
        about: what holds for all of them.
        keys: [N, 16], of :func:`entity_keys`.
        values: N answers by name: ``items`` (:func:`joined_items`) and ``scores`` of ranked lists;
            else what the model gives, labels as indices of the classes.
        model: whose devices hold it.
        version: of the release that answered.
        manifest: its digest.
        answered_by: line and version.
        expires: Unix seconds after which devices do not give them any more.

    Raises:
        PackError: no values, shapes that do not fit, an entity with two answers, or the file cannot
            be written.
    """
    from edge_sdk.packs.writer import write_entries  # reading does without

    if not values:
        raise PackError("values: expected at least one")
    for name, (_, array) in values.items():
        if array.ndim == 0 or len(array) != len(keys):
            raise PackError(f"{name}: expected {len(keys)} rows, got shape {array.shape}")
    fields = tuple(
        ValueField(name, role, array.dtype.name, array.shape[1:])  # type: ignore[arg-type]
        for name, (role, array) in values.items()
    )
    draft = PackHeader(
        *(model, version, manifest, ENTITY_ANSWERS, 0, 0, 0, fields),
        answered_by=answered_by,
        body="0" * 64,
        expires=expires,
        entities=about,
    )
    arrays = {name: array for name, (_, array) in values.items()}
    return write_entries(Path(path), draft, keys, arrays, list(arrays.values()))
