"""Alerts: events on their way to people and programs, by webhook, e-mail and chat."""
