"""The ``edge-hub`` command: one module a group of commands."""
