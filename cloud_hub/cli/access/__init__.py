"""Commands about who may do what at a hub, and as whom this machine asks it."""
