"""Where the hub's artifacts are: one protocol, one implementation for each kind of store."""
