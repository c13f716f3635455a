"""Is it worth retraining more often? Measured on the history of one model.

``plan`` cuts time into trainings (pure), ``analysis`` trains and scores, ``verdict`` says what the
figures mean (pure), ``report`` draws.
"""
