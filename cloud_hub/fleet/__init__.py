"""Devices: enrolment, check-ins, health."""
