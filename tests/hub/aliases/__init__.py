"""Tests of what versions are called."""
