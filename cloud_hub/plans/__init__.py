"""Plans: which release serves, and which experiment runs on whom."""
