"""Detectors of change in streams of windows; pure, as all of :mod:`cloud_hub.statistics`."""
