"""The history of the database's schema, one Alembic revision a change.

Invariants: a published revision is never edited; a later one changes what it did. Each moves a
database that is in use from one state to the next, with its rows. ``tables.py`` of the features say
what the schema is at the head; a test compares the two on SQLite and PostgreSQL.

``python -m cloud_hub.database.migrations "what changes"`` drafts the next revision.
"""
