"""Storage of artifacts: one protocol, one implementation for each kind of store."""
