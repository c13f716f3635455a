"""Monitoring of reports: windows are evaluated as they close, alarms stay until acknowledged."""
