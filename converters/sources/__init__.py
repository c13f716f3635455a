"""Trained models as the pipeline sees them: one file for each framework behind ``ModelSource``."""
