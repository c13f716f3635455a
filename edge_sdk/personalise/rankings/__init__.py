"""Rankings that adapt within the session of a unit, and sums that say whether that helps."""
