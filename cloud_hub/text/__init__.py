"""What people write: durations, YAML, mistyped names."""
