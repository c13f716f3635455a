"""Names of versions beside their numbers: aliases, tags and descriptions."""
