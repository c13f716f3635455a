"""Text that people write: durations, YAML, mistyped names."""
