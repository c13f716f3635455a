"""Options of commands that open a hub's data: where its tables and its artifacts are."""

from __future__ import annotations

from typing import Annotated

import typer

Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="HUB_DATABASE_URL",
        help="SQLAlchemy URL; default: SQLite inside the folder.",
    ),
]
Artifacts = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="HUB_ARTIFACTS_URL",
        help="Bucket for artifacts and signed metadata, such as s3://bucket/prefix; "
        "default: folders inside.",
    ),
]
