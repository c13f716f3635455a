"""Plans: the version that serves, and the experiment that runs on some devices."""
