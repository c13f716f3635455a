"""Commands of who keeps a fleet and its hub running: asking devices, groups, settings."""
