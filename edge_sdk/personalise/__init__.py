"""A small model of one unit (a user, a session) on top of the release that serves.

``personal_model.py`` is where to begin: pure mathematics, without I/O and without a clock.
"""
