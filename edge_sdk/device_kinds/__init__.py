"""The other kinds of EdgeDevice: run by another process, without a hub, asleep in a forked child.

They share the methods of :class:`edge_sdk.EdgeDevice`, whose class methods and forks make them.
"""
