"""People, their access tokens and sessions, and promotions that wait for a second person.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
oldest = "0021"


def upgrade() -> None:
    """Add the tables; hubs of before do not know them and let in the files' tokens alone."""
    text, moment = sa.String(), sa.Float()
    op.create_table(
        "people",
        sa.Column("name", text, primary_key=True),
        sa.Column("kind", text, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("models", sa.JSON()),
        sa.Column("subject", text, unique=True),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("made_by", text, nullable=False),
        sa.Column("disabled_at", moment),
        sa.Column("reason", sa.Text()),
    )
    op.create_table(
        "access_tokens",
        sa.Column("id", text, primary_key=True),
        sa.Column("digest", text, nullable=False, unique=True),
        sa.Column("person", text, nullable=False, index=True),
        sa.Column("name", text, nullable=False),
        sa.Column("role", text, nullable=False),
        sa.Column("models", sa.JSON()),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("made_by", text, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("used_at", moment),
        sa.Column("revoked_at", moment),
    )
    _of_browsers()
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", text, nullable=False, index=True),
        sa.Column("version", text, nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *(sa.Column("override", sa.Text()), sa.Column("experiment", text), sa.Column("arm", text)),
        sa.Column("requested_by", text, nullable=False),
        *(sa.Column(name, moment, nullable=False) for name in ("requested_at", "expires_at")),
        sa.Column("state", text, nullable=False),
        sa.Column("decided_by", text),
        sa.Column("decided_at", moment),
    )


def _of_browsers() -> None:
    text, moment = sa.String(), sa.Float()
    op.create_table(
        "person_sessions",
        sa.Column("digest", text, primary_key=True),
        sa.Column("person", text, nullable=False, index=True),
        *(sa.Column(name, text) for name in ("token", "root")),
        *(sa.Column(n, moment, nullable=False) for n in ("begun_at", "seen_at", "expires_at")),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("digest", text, primary_key=True),
        *(sa.Column(name, text, nullable=False) for name in ("nonce", "verifier", "next")),
        sa.Column("expires_at", moment, nullable=False),
    )
