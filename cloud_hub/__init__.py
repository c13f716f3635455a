"""The hub: registry, fleet, plans, telemetry, triggers, runs, experiments, packs."""
