"""The hub under load: over HTTP on one core, and its parts in this process."""
