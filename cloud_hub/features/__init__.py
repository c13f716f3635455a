"""Batch features by entity: kept here, joined on devices with what only the moment knows."""
