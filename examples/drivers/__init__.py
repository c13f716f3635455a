"""A feature store as Feast lays it out: the same file, the same question, the same answer."""
