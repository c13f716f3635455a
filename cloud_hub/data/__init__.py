"""Rows as columns: files and tables of every kind that the hub takes, in one form. No database."""
