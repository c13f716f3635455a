"""Statistics of fleets: pure functions of counts and sums, without I/O, clock or global state.

Randomness, where there is any, is a seed or a generator that the caller passes. Arrays are
``float64``; shapes are given in brackets, with leading axes for looks or simulated runs.
"""
