"""What the hub says of itself: request ids, metrics, readiness, and the doctor of its data."""
