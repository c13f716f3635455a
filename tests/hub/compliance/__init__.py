"""Tests of archives of evidence."""
