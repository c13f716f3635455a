"""Certificates on more rows: every variant of a release asked again, held to what it was certified
for.
"""
