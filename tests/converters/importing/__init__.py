"""Tests of models of other tools."""
