"""Telemetry: reports of devices, taken in exactly once and merged by addition."""
