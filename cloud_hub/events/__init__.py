"""The stream of events, read: pages of it, and waiting for what comes."""
