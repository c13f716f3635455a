"""Watching what devices report: windows are evaluated as they close, alarms stay until answered."""
