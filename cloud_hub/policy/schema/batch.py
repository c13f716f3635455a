"""The section ``batch`` of a model's policy: jobs by name, each a table of precomputed answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cloud_hub.policy.schema.conditions import check_cron
from edge_sdk.contract.errors import require
from edge_sdk.contract.names import check_name

MOST_RANKED: Final = 100
"""Items of a ranked list; each has two columns."""

ALL: Final = "all"
"""What ``entities`` says where every device holds all of them."""

MOST_ENTRIES: Final = 5_000_000
"""Entities of one pack, which is laid out in memory."""

RESERVED: Final = frozenset({"prediction", "version", "computed_at", "valid_until", "generation"})
"""Columns that a table of predictions has anyway."""


@dataclass(frozen=True)
class BatchSource:
    """Rows to be answered: exactly one of ``query`` and ``table`` (of the database at ``url``, or
    at the URL that the hub's environment has as ``url_env``), ``parquet`` (a file, or a pattern
    of several), ``csv`` (a file) and ``entities`` (of that kind, with all their features, from the
    feature store). A query may use ``:as_of``, the moment in Unix seconds that it is asked for.
    """

    query: str | None = None
    table: str | None = None
    parquet: str | None = None
    csv: str | None = None
    entities: str | None = None
    url: str | None = None
    url_env: str | None = None

    def __post_init__(self) -> None:
        kinds = ("query", "table", "parquet", "csv", "entities")
        present = [name for name in kinds if getattr(self, name) is not None]
        require(len(present) == 1, f"expected exactly one of {list(kinds)}, got {present}")
        require(bool(getattr(self, present[0])), f"{present[0]}: expected a text")
        urls = (self.url is not None) + (self.url_env is not None)
        needed = int(present[0] in ("query", "table"))
        message = "expected url or url_env" if needed else f"{present[0]}: takes no url"
        require(urls == needed, message)

    @property
    def as_of(self) -> bool:
        """Return whether it can be asked for a moment in the past."""
        return self.query is not None and ":as_of" in self.query


@dataclass(frozen=True)
class BatchJob:
    """One table of predictions, computed anew on a schedule.

    Each row of ``source`` is one ``entity`` (a column) with the columns that the answering line
    ``model`` takes (left out: the policy's ``cloud`` line, or the model itself). ``attributes`` are
    columns kept beside the answer, by which devices choose their share. ``top`` keeps a ranked list
    of so many classes; with ``item`` a row is an entity and one item, and the list is of items.

    Anew ``every_seconds``, or by a ``cron`` line in ``timezone``, and ``after_promote`` as soon as
    another version of the line serves; none of them: by hand. An answer counts for
    ``valid_seconds``; the newest ``keep`` generations stay, those of a backfill for
    ``keep_backfills_seconds``. ``default`` (``default_items`` of a list) answers for entities that
    have none. ``output: parquet`` writes files only, which nothing can be looked up in. ``devices``
    of the model may ask the hub for any entity.

    With ``entities`` devices hold the answers in packs and give them offline: ``all`` of them, or
    those of entities whose attribute of that name, one of ``attributes``, has the device's value of
    it (``device``: its name). ``pack_entries`` bounds the entities of one pack.
    """

    source: BatchSource
    entity: str = "entity"
    attributes: tuple[str, ...] = ()
    model: str | None = None
    top: int | None = None
    item: str | None = None
    every_seconds: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    after_promote: bool = False
    valid_seconds: float = 7 * 86_400.0
    keep: int = 3
    keep_backfills_seconds: float = 30 * 86_400.0
    default: int | float | str | None = None
    default_items: tuple[str, ...] = ()
    output: Literal["sql", "parquet"] = "sql"
    devices: bool = False
    entities: str | None = None
    pack_entries: int = 2_000_000
    partition_rows: int = 250_000

    def __post_init__(self) -> None:
        if self.model is not None:
            check_name("model", self.model)
        self._check_schedule()
        self._check_columns()
        require(self.valid_seconds > 0, "valid: expected more than 0")
        require(self.keep >= 1, "keep: expected at least 1")
        require(self.keep_backfills_seconds >= 0, "keep_backfills: expected at least 0")
        shared = self.entities in (None, ALL, *self.attributes)
        require(shared, f"entities: expected {ALL}, or one of attributes {list(self.attributes)}")
        bounded = 1 <= self.pack_entries <= MOST_ENTRIES
        require(bounded, f"pack_entries: expected 1 to {MOST_ENTRIES}")
        require(1_000 <= self.partition_rows <= 10_000_000, "partition_rows: expected 1e3 to 1e7")
        require(self.default is None or not self.top, "default: a list has default_items")
        require(bool(self.top) or not self.default_items, "default_items: are of lists; see top")

    def _check_schedule(self) -> None:
        both = self.every_seconds is not None and self.cron is not None
        require(not both, "expected every or cron, not both")
        require(self.every_seconds is None or self.every_seconds > 0, "every: expected more than 0")
        if self.cron is not None:
            check_cron(self.cron)
        try:
            ZoneInfo(self.timezone)
        except (ValueError, KeyError, OSError):
            require(False, f"timezone: expected a name such as Europe/Berlin, got {self.timezone}")

    def _check_columns(self) -> None:
        require(bool(self.entity), "entity: expected the name of a column")
        names = [self.entity, *self.attributes, *([self.item] if self.item else [])]
        require(len(set(names)) == len(names), "entity, attributes, item: expected different names")
        taken = sorted(RESERVED & {name.lower() for name in self.attributes})
        require(not taken, f"attributes: {taken} are columns of the answer")
        odd = [name for name in self.attributes if not name.isprintable() or set(name) & set('%"')]
        require(not odd, f"attributes: expected names without quotes and %, got {odd}")
        require(self.item is None or self.top is not None, "item: a list of items needs top")
        fits = self.top is None or 1 <= self.top <= MOST_RANKED
        require(fits, f"top: expected 1 to {MOST_RANKED}")

    @property
    def scheduled(self) -> bool:
        """Return whether the hub starts it by itself."""
        return bool(self.every_seconds or self.cron or self.after_promote)
