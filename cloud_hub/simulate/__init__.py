"""A fleet in compressed time, run through the hub's own gates, triggers and plans."""
