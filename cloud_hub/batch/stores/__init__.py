"""Stores of predictions: SQLite files, PostgreSQL tables, Parquet files; all keep one promise."""
