"""Triggers: rules over what devices report that start a retraining run."""
