"""Running features of sessions: kept of what the application tells of a unit, joined in predictions."""
