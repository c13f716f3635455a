"""Batch predictions: answers by entity, computed on a schedule, kept whole as generations."""
