"""The decision on an experiment: pure functions of its evidence."""
