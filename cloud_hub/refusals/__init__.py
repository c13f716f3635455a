"""Releases that devices refuse: told as an alarm, and taken back where most of them do."""
