"""Fitted scikit-learn estimators: what they answer, and repairs before they are exported."""
