"""Parity, budget and choice: what a release is measured by before it is written."""
