"""The commands about events, alarms, and where they are sent."""
