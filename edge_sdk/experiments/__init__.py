"""Experiments that run on a device beside what serves: arms by key, a shadow, interleaving.

Each is a :class:`~edge_sdk.experiments.base.RunningExperiment`;
:mod:`edge_sdk.fleet.active_releases` starts and ends it.
"""
