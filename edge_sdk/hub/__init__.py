"""Talking with the hub: requests over HTTP, and messages that wait for it."""
