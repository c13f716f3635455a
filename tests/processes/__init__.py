"""Processes that tests start, without waiting for their imports."""
