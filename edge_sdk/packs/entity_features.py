"""Batch features by entity: computed ahead in the cloud, joined on the device with streaming ones.

They use the pack format: the key is the entity's, the values are columns of the release. A model
that needs "orders in the last month" of a user gets it without a network; features of the moment
are passed with the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.key import ENTITY, KEY_BYTES
from edge_sdk.contract.pack import COMPUTED_AT, STALE_AT, PackHeader, ValueField
from edge_sdk.errors import InputError, PackError
from edge_sdk.model.keys import key_of
from edge_sdk.model.schema import InputSchema
from edge_sdk.packs.reader import IN_DAMAGED_BLOCK, Pack

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column
    from edge_sdk.model.release import Release

_PREFIX: Final = ENTITY.encode() + b"\0"


def entity_key(entity: str) -> bytes:
    """Return the pack key of an entity's name.

    Raises:
        InputError: the name is not a text, empty, or cannot be encoded as UTF-8.
    """
    if not isinstance(entity, str) or not entity:
        raise InputError("entity", f"entity: expected a name, got {entity!r:.60}")
    try:
        return key_of(_PREFIX + entity.encode())
    except UnicodeEncodeError as error:
        raise InputError("entity", f"entity: expected Unicode text; {error}") from error


class JoinedFeatures(NamedTuple):
    """A row by column name, of stored and streaming features.

    ``is_stored`` is False for an entity that has the defaults. ``computed_at`` is when its oldest
    value was computed, ``stale_at`` when its first value gets stale, both in Unix seconds; ``None``
    where the file does not say.
    """

    row: dict[str, Any]
    is_stored: bool
    computed_at: int | None = None
    stale_at: int | None = None


class StoredFeatures(NamedTuple):
    """What is stored of an entity.

    Attributes:
        row: values by column; the defaults where the entity is not stored.
        is_stored: False where it is not.
        age: seconds since its oldest value was computed; ``None`` where nothing says when.
        stale: True if a value is older than its set declares as fresh.
    """

    row: dict[str, Any]
    is_stored: bool
    age: float | None
    stale: bool


class EntityFeatures:
    """Stored features of one release; :meth:`join` is safe from any number of threads.

    Args:
        pack: opened pack of entity features.

    Attributes:
        pack: the same.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        hidden = (COMPUTED_AT, STALE_AT)
        self._defaults = {n: v for n, v in pack.header.defaults.items() if n not in hidden}
        self._categories = pack.header.categories

    @classmethod
    def open(
        cls, path: str | Path, release: Release, *, now: float | None = None
    ) -> EntityFeatures:
        """Open the file at ``path`` for ``release``.

        Args:
            path: pack file.
            release: release whose columns it must hold.
            now: Unix seconds for the expiry; by default the clock.

        Raises:
            PackError: the file is unreadable, truncated, expired, for another release, or a pack of
                answers.
        """
        return cls(Pack.open(path, release, canonicaliser=ENTITY, now=now))

    @property
    def digest(self) -> str:
        """SHA-256 of the file's body."""
        return self.pack.header.body

    def join(self, entity: str, streaming: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return a row by column name, and True if the entity is stored (else it has the defaults).

        Streaming features replace stored ones of the same name.

        Raises:
            InputError: the name cannot be a key, or the file is damaged where the entity would be.
            PackError: the file was written incorrectly.
        """
        joined = self.lookup(entity, streaming)
        return joined.row, joined.is_stored

    def lookup(self, entity: str, streaming: Mapping[str, Any]) -> JoinedFeatures:
        """Return what :meth:`join` does, and how old it is.

        Raises:
            InputError: as :meth:`join`.
            PackError: as :meth:`join`.
        """
        at = self.pack.find(entity_key(entity))
        if at == IN_DAMAGED_BLOCK:
            # Defaults in place of what is stored would be a wrong answer that nobody sees.
            raise InputError(
                "entity",
                f"{entity!r:.60}: its stored features are damaged on the disk, and are fetched "
                "again at the next sync; until then pass the whole row",
            )
        stored = None if at < 0 else self.pack.entry(at)
        if stored is None:
            # A new dict: the defaults are shared by all entities.
            return JoinedFeatures({**self._defaults, **streaming}, is_stored=False)
        row = self._plain(stored)
        computed, stale = row.pop(COMPUTED_AT, None), row.pop(STALE_AT, None)
        row.update(streaming)
        return JoinedFeatures(row, True, computed, stale)

    def stored(self, entity: str, now: float) -> StoredFeatures:
        """Return what is stored of an entity, and how old it is.

        Args:
            entity: its name.
            now: Unix seconds.

        Raises:
            InputError: as :meth:`join`.
            PackError: as :meth:`join`.
        """
        joined = self.lookup(entity, {})
        age = None if joined.computed_at is None else now - joined.computed_at
        stale = joined.stale_at is not None and now >= joined.stale_at
        return StoredFeatures(joined.row, joined.is_stored, age, stale)

    def close(self) -> None:
        """Unmap the file."""
        self.pack.close()

    def _plain(self, stored: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        row = {name: array.item() for name, array in stored.items()}
        for name, categories in self._categories.items():
            index = row[name]
            if not 0 <= index < len(categories):
                path = self.pack.path
                raise PackError(f"{path}: {name}: category {index} is not in the header")
            row[name] = categories[index]
        return row


def write_entity_features(
    path: str | Path,
    release: Release,
    entities: Sequence[str],
    columns: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    computed_by: str = "",
    expires: int | None = None,
    computed_at: Sequence[int] = (),
    stale_at: Sequence[int] = (),
) -> PackHeader:
    """Write stored features for ``release`` to ``path``.

    Args:
        path: file to write; an existing one is replaced atomically.
        release: release whose columns they are.
        entities: N different names.
        columns: N values per stored column, by its name.
        defaults: value per stored column, for entities that are not stored.
        computed_by: name of the job that computed them, for the record.
        expires: Unix seconds after which devices stop using it.
        computed_at: when the oldest value of each entity was computed, N times in Unix seconds.
        stale_at: from when a value of each is stale; both are given, or neither.

    Raises:
        PackError: the release has no such column, values do not fit, a column has no default, or
            an entity is listed twice.
    """
    from edge_sdk.packs.writer import draft_header, write_entries  # reading does without

    if len(set(entities)) != len(entities):
        raise PackError("entities: expected different names")
    if set(defaults) != set(columns) or not columns:
        raise PackError(f"defaults: expected one for each of {sorted(columns)}")
    missing = release.manifest.training.get("missing") == "allowed"
    schema = InputSchema(release.manifest.signature, missing=missing)
    declared = {column.name: column for column in schema.columns}
    stored, fields, plain, categories = [], [], {}, {}
    for name, values in columns.items():
        if name not in declared:
            raise PackError(f"columns: expected some of {sorted(declared)}, got {name!r}")
        array = _checked(schema, declared[name], values, len(entities))
        plain[name] = _scalar(_checked(schema, declared[name], [defaults[name]], 1)[0])
        if declared[name].dtype == STRING:
            categories[name], array = _indexed(array)
        stored.append(array)
        fields.append(ValueField(name, "other", array.dtype.name))  # type: ignore[arg-type]
    moments = _moments(computed_at, stale_at, len(entities))
    fields += [ValueField(name, "other", "int64") for name in moments]
    stored += moments.values()
    plain |= dict.fromkeys(moments)
    draft = draft_header(
        *(release, ENTITY, tuple(fields)),
        answered_by=computed_by,
        expires=expires,
        defaults=plain,
        categories=categories,
    )
    keys = np.frombuffer(b"".join(map(_key, entities)), np.uint8).reshape(-1, KEY_BYTES)
    return write_entries(
        Path(path), draft, keys, dict(zip([*columns, *moments], stored, strict=True)), stored
    )


def _moments(
    computed_at: Sequence[int], stale_at: Sequence[int], count: int
) -> dict[str, NDArray[np.int64]]:
    if not (computed_at or stale_at):
        return {}
    times = {COMPUTED_AT: computed_at, STALE_AT: stale_at}
    for name, each in times.items():
        if len(each) != count:
            raise PackError(f"{name}: expected {count} moments, got {len(each)}")
    return {name: np.asarray(each, np.int64) for name, each in times.items()}


def _key(entity: str) -> bytes:
    try:
        return entity_key(entity)
    except InputError as error:
        raise PackError(str(error)) from error


def _checked(schema: InputSchema, column: Column, values: Any, count: int) -> NDArray[Any]:
    if len(values) != count:
        raise PackError(f"{column.name}: expected {count} values, got {len(values)}")
    try:
        return schema.column(column, values)
    except InputError as error:
        raise PackError(str(error)) from error


def _indexed(texts: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    # Not np.unique: NumPy's fixed-width text drops NULs at the end.
    names = tuple(sorted(set(texts.tolist())))
    places = {name: i for i, name in enumerate(names)}
    return names, np.array([places[text] for text in texts.tolist()], dtype=np.int32)


def _scalar(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if plain != plain else plain  # NaN has no place in JSON
