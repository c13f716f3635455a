"""What people write: durations, YAML, names with a letter wrong."""
