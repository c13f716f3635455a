"""The one way from a ``ModelSource`` to a release folder."""
