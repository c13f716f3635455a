"""Draft the next revision from what ``tables.py`` say and the revisions do not."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from cloud_hub.database.engine import metadata
from cloud_hub.database.migrate import alembic_config, apply_revisions


def draft(message: str) -> Path:
    """Write a revision that makes a database at the head what the tables are; return its file.

    What Alembic writes is a draft: read it, and write down what becomes of the rows.
    """
    import cloud_hub.hub  # noqa: F401 (every table is defined when this is loaded)

    with create_engine("sqlite://").begin() as db:
        apply_revisions(db)
        config = alembic_config(db)
        config.attributes["metadata"] = metadata
        number = 1 + sum(1 for _ in ScriptDirectory.from_config(config).walk_revisions())
        script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
    assert script is not None
    assert not isinstance(script, list)
    return Path(script.path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('usage: python -m cloud_hub.database.migrations "what changes"')
    print(draft(sys.argv[1]))
