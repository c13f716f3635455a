"""Candidates on the live fleet: canaries that advance, wait, or are withdrawn on evidence."""
