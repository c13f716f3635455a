"""Evidence for a release: parity, measurements, the budget, golden vectors, the profile."""
