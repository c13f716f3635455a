"""The database: engine, transactions, the audit log, the lock of the one server."""
