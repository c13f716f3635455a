"""Alarms of the hub as a whole: they open, are acknowledged, and close by themselves."""
