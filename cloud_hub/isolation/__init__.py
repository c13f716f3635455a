"""Processes that run what others wrote: training code, models, states.

Invariant: nothing of this kind is loaded by the hub's own process, and the process that loads it
has neither the hub's keys nor its rights. How far that goes on this machine is measured from
inside, before foreign code runs, and recorded.
"""
