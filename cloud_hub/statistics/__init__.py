"""Statistics of the hub: pure functions of counts, each with its source."""
