"""Pages of one model: its versions, experiments, monitoring, triggers, runs and packs."""
