"""Random scikit-learn pipelines: each is converted as a user would, and held to itself.

``python -m tests.campaigns.random_pipelines --seeds 400``. What is drawn depends on the seed alone
and is never tuned to what can be converted.
"""
