"""Packs: answers to frequent inputs, computed here so that devices need not."""
