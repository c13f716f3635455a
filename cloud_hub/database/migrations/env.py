"""Alembic's entry: revisions are applied on the caller's connection, within its transaction."""

from __future__ import annotations

from alembic import context

# Batch mode: SQLite cannot alter most of a table in place, so Alembic copies it there.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    render_as_batch=True,
)
context.run_migrations()
