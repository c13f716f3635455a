"""Aliases, tags and descriptions: given, removed, and resolved to versions.

An alias moves in one statement, so whoever resolves it at any moment gets one version or the other.
What is served does not follow an alias: a plan names a version, and somebody promotes it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Table, delete, func, select, update

from cloud_hub.aliases.names import NamesOfModel, names_by_model
from cloud_hub.aliases.reference import LATEST, SERVING, check_alias, parse_version_word
from cloud_hub.aliases.tables import version_aliases, version_notes, version_tags
from cloud_hub.database.engine import insert_if_new, reading, transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.text.spelling import listed
from edge_sdk.contract.names import Version

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

MOST: Final = 100
"""Aliases of a model, and tags of a model or a version."""

VALUE: Final = 1_000
DESCRIPTION: Final = 10_000
"""Characters."""

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


class Aliases:
    """What people call models and versions.

    Args:
        engine: of the hub's database.
        audit: where changes are noted.
        registry: which versions there are.
        plans: which of them serves.
    """

    def __init__(self, engine: Engine, audit: Audit, registry: Registry, plans: Plans) -> None:
        self._engine, self._audit = engine, audit
        self._registry, self._plans = registry, plans

    def resolve(self, model: str, word: str) -> str:
        """Return the version (``MAJOR.MINOR``) that a word names; a whole number of one as it is.

        Args:
            model: name of the line.
            word: as :mod:`cloud_hub.aliases.reference` lists them.

        Raises:
            Invalid: it is no such word, or names another model.
            NotFound: there is no such alias, or nothing serves.
        """
        found = parse_version_word(word, model)
        if found.alias is not None:
            return self._of_alias(model, found.alias)
        if found.version is None:
            raise Invalid(f"version: {word:.80} names a model, and no version of it")
        if "." in found.version:
            return found.version
        return self._newest_of_major(model, int(found.version))

    def names(self, model: str) -> NamesOfModel:
        """Return what was said of a model and its versions."""
        return self.every(model)[model]

    def every(self, model: str | None = None) -> Mapping[str, NamesOfModel]:
        """Return what was said of models and their versions, by model: three queries for all.

        Args:
            model: only this one; default all. One of which nothing was said is there as well.
        """
        with reading(self._engine) as db:
            tags = _rows(db, version_tags, model).all()
            notes = _rows(db, version_notes, model).all()
            aliases = _rows(db, version_aliases, model).all()
        return names_by_model(tags, notes, aliases)

    def set_alias(self, model: str, alias: str, word: str, *, actor: str) -> str:
        """Give a version an alias, which leaves the one that had it; return the version.

        Args:
            model: name of the line.
            alias: the name.
            word: names the version.
            actor: who does it.

        Raises:
            Invalid: it cannot be an alias.
            NotFound: there is no such version.
            Conflict: the model has :data:`MOST` already.
        """
        check_alias(alias)
        version = self._registry.version(model, self.resolve(model, word)).version
        row = {"version": version, "set_at": time.time(), "set_by": actor}
        key = {"model": model, "alias": alias}
        with self._alone(model) as db:
            before = db.execute(_where(select(version_aliases.c.version), version_aliases, key))
            moved_from = before.scalar()
            _put(db, version_aliases, key, row)
            detail = {"alias": alias, "version": version, "before": moved_from}
            self._audit.record(actor, "alias set", model, detail)
        return version

    def remove_alias(self, model: str, alias: str, *, actor: str) -> None:
        """Take an alias away; raises NotFound."""
        key = {"model": model, "alias": alias}
        with self._alone(model) as db:
            version = db.execute(
                _where(select(version_aliases.c.version), version_aliases, key)
            ).scalar()
            if version is None:
                raise NotFound(self._no_alias(model, alias))
            db.execute(_where(delete(version_aliases), version_aliases, key))
            self._audit.record(actor, "alias removed", model, {"alias": alias, "version": version})

    def set_tag(
        self, model: str, key: str, value: str, *, word: str | None = None, actor: str
    ) -> None:
        """Tag a model or one of its versions.

        Args:
            model: name of the line.
            key: of the tag; another value takes the place of the one that is there.
            value: of the tag.
            word: names the version; ``None`` for the model.
            actor: who does it.

        Raises:
            Invalid: key or value cannot be one.
            NotFound: there is no such version.
            Conflict: there are :data:`MOST` tags already.
        """
        if not _KEY.fullmatch(key):
            raise Invalid(
                "key: expected a letter or digit, then up to 99 of these and . _ / -, "
                f"got {key!r:.60}"
            )
        if len(value) > VALUE:
            raise Invalid(f"value: expected at most {VALUE} characters, got {len(value)}")
        version = self._existing(model, word)
        with self._alone(model) as db:
            row = {"model": model, "version": version, "key": key}
            _put(db, version_tags, row, {"value": value})
            detail = {"version": version or None, "key": key, "value": value}
            self._audit.record(actor, "tag set", model, detail)

    def remove_tag(self, model: str, key: str, *, word: str | None = None, actor: str) -> None:
        """Take a tag away.

        Args:
            model: name of the line.
            key: of the tag.
            word: names the version; ``None`` for the model.
            actor: who does it.

        Raises:
            NotFound: there is none.
        """
        version = self._existing(model, word)
        row = {"model": model, "version": version, "key": key}
        with transaction(self._engine) as db:
            if not db.execute(_where(delete(version_tags), version_tags, row)).rowcount:
                raise NotFound(f"{model} {version}: has no tag {key:.100}".replace(" :", ":"))
            detail = {"version": version or None, "key": key}
            self._audit.record(actor, "tag removed", model, detail)

    def describe(self, model: str, text: str, *, word: str | None = None, actor: str) -> None:
        """Say what a model or a version is.

        Args:
            model: name of the line.
            text: in words; empty takes the description away.
            word: names the version; ``None`` for the model.
            actor: who does it.

        Raises:
            Invalid: it is too long.
            NotFound: there is no such version.
        """
        if len(text) > DESCRIPTION:
            raise Invalid(f"text: expected at most {DESCRIPTION} characters, got {len(text)}")
        version = self._existing(model, word)
        key = {"model": model, "version": version}
        with self._alone(model) as db:
            if text:
                _put(db, version_notes, key, {"description": text})
            else:
                db.execute(_where(delete(version_notes), version_notes, key))
            detail = {"version": version or None, "description": text}
            self._audit.record(actor, "description set", model, detail)

    @contextlib.contextmanager
    def _alone(self, model: str) -> Iterator[Connection]:
        """Open a transaction while nobody else names anything of this model.

        So each entry of the audit says what was there before it.
        """
        with exclusive(self._engine, f"names of {model}"), transaction(self._engine) as db:
            yield db

    def _existing(self, model: str, word: str | None) -> str:
        """Return the version that a word names; empty for the model itself."""
        if word is None:
            return ""
        return self._registry.version(model, self.resolve(model, word)).version

    def _of_alias(self, model: str, alias: str) -> str:
        if alias == SERVING:
            plan = self._plans.current(model)
            if plan is None:
                raise NotFound(f"{model}: nothing serves yet; promote a version")
            return plan.serving.version
        if alias == LATEST:
            newest = self._registry.page(model, 1)
            if not newest:
                raise NotFound(f"{model}: has no version yet")
            return newest[-1].version
        key = {"model": model, "alias": alias}
        query = _where(select(version_aliases.c.version), version_aliases, key)
        with reading(self._engine) as db:
            version = db.execute(query).scalar()
        if version is None:
            raise NotFound(self._no_alias(model, alias))
        return str(version)

    def _newest_of_major(self, model: str, major: int) -> str:
        found = [
            version
            for record in self._registry.versions(model)
            if (version := Version.parse(record.version)).major == major
        ]
        if not found:
            raise NotFound(f"{model}: has no version {major}.x")
        return str(max(found))

    def _no_alias(self, model: str, alias: str) -> str:
        there = sorted(self.names(model).aliases)
        known = f"; there are {listed(there)}" if there else "; it has none"
        return f"{model}: no version has the alias {alias:.60}{known}"


def _put(db: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert a row, or give the one with its key these values; raises Conflict beyond the bound."""
    model = key["model"]
    of = table.c.model == model
    if "version" in key:
        of &= table.c.version == key["version"]
    if insert_if_new(db, table, {**key, **values}):
        if db.execute(select(func.count()).select_from(table).where(of)).scalar_one() > MOST:
            raise Conflict(f"{model}: has {MOST} of these already; remove one first")
    else:
        db.execute(_where(update(table), table, key).values(**values))


def _where(statement: Any, table: Table, key: dict[str, Any]) -> Any:
    return statement.where(*(table.c[name] == value for name, value in key.items()))


def _rows(db: Connection, table: Table, model: str | None) -> Any:
    query = select(table).order_by(*table.primary_key)
    return db.execute(query if model is None else query.where(table.c.model == model))
