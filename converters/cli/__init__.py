"""The ``edge-convert`` command."""
