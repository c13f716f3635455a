"""Requests of the fuzz campaign: what is asked, who asks, and the hub that is asked."""
