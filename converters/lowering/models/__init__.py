"""Lowerings of models: what answers from columns, and projections that compute as they do."""
