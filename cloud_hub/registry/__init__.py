"""Versions, their artifacts, and the signed repository that devices trust."""
