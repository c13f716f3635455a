"""One way from a model to a release folder."""
