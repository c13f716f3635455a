"""Running features of sessions, kept of what applications tell of units."""
