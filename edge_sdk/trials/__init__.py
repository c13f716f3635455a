"""What an experiment runs on a device beside what serves: arms by key, a shadow, interleaving.

Each is a :class:`~edge_sdk.trials.running.Running`; :mod:`edge_sdk.service` starts and ends it.
"""
