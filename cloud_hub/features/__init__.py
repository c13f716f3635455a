"""Batch features by entity: stored here, joined on devices with the columns of the moment."""
