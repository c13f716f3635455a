"""First-boot files: what a card of a fleet has to know before its device has an identity."""
