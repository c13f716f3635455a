"""Lowerings of estimators that are made of others, such as Pipelines, ensembles and chains."""
