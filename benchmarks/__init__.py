"""Measured claims: each figure beside a peer's, in the same run, with the machine stated."""
